"""What the profiler can record."""

from .profiler import supported_activities

__all__ = ["supported_activities"]
