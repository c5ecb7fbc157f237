"""The fused kernels for NVIDIA GPUs, in Triton; imported only for tensors on a GPU."""
