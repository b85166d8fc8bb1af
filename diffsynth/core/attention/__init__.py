"""Attention by the best kernel the machine has."""

from diffsynth.core.attention.attention import attention
from diffsynth.core.attention.choice import AttentionImplementationError, chosen_implementation

__all__ = ["AttentionImplementationError", "attention", "chosen_implementation"]
