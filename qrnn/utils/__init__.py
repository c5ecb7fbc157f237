"""What all parts share, and what knows none of them: files, checks, registries."""
