"""A trained model on any device: predictions, metrics and what hardware costs."""
