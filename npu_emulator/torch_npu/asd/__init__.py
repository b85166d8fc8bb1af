"""Checks for silent faults of the hardware."""
