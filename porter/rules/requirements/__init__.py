"""Rules about lists of packages."""
