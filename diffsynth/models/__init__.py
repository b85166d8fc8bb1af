"""Networks, one a file: plain modules that know neither devices nor files."""
