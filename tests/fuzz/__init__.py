"""Random tests, `make fuzz`: many cases, each from its seed."""
