"""Attention by the best kernel the machine has."""

from diffsynth.core.attention.attention import AttentionImplementationError, attention, chosen_implementation

__all__ = ["AttentionImplementationError", "attention", "chosen_implementation"]
