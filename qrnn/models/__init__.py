"""Models: embedding, recurrent network and head, built from a configuration."""
