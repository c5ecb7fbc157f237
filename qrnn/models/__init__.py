"""Embedding, recurrent network and head; from a configuration to a model."""
