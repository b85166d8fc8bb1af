"""Rules about configuration files."""
