"""Evaluate a trained model on any device: predictions, metrics and the cost on hardware."""
