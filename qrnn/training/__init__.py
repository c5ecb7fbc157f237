"""Training with PyTorch Lightning: from a model and data to a checkpoint."""
