"""Rules that a project writes itself, in pyproject.toml."""
