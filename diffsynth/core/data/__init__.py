"""Samples for training: metadata files, the images and videos they name, and tensors encoded from them once.

What is wrong with a data set is always told with the file, and the row where there is one.
"""


class DatasetError(ValueError):
    """A data set that cannot be used: its metadata or its folder."""


class BadSampleError(ValueError):
    """One sample that cannot be used; the message names its row and file."""
