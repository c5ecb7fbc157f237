"""The fused kernels on NVIDIA GPUs, in Triton; imported only for tensors that are there."""
