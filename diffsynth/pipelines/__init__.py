"""The pipelines, one a file: each reads as a story from prompt to frames."""
