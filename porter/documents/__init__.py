"""Files into units of Python source, and back: one kind of file a module."""
