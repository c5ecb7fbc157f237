"""The results page: `python -m benchmarks.results` makes its runs and writes docs/results.md."""
