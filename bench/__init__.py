"""The benchmark: `python -m bench`. README.md says how to read what it prints."""
