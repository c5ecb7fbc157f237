"""Random tests, `make fuzz`: many cases from a seed each, where the tests hold a few chosen ones."""
