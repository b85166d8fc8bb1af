"""Samples for training: metadata files, the images and videos they name, and tensors encoded from them once."""
