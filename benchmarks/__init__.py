"""Measurements of this project, each beside a named peer in the same run: `python -m benchmarks.NAME`."""
