"""Rules that read shell scripts."""
