"""Data sets: loaders and the tasks made of them."""
