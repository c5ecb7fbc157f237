"""The fused strategy's kernels: their interface and the gate program that they run."""
