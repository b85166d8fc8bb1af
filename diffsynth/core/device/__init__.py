"""Devices: which there are, how much memory they have. The only folder that knows the names of device types."""
