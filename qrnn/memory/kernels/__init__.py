"""The fused strategy's kernels: their contract and the gate program they run."""
