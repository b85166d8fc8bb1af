"""What is said of a prompt that is longer than its text encoder takes."""

from __future__ import annotations

from diffsynth.core.caller import warn_caller


def warn_of_cut_prompt(prompt: str, *, cut: int, limit: int) -> None:
    """Warns that the last `cut` tokens of a prompt are left out, and of the limit."""
    warn_caller(
        f"the prompt {prompt[:40]!r}... has {cut} tokens more than the text encoder takes ({limit}): its end is cut off"
    )
