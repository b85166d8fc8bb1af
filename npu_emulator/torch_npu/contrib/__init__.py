"""The vendor's own modules and functions."""
