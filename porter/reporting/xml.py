"""Text for XML, which has no control characters."""

from __future__ import annotations


def plain(text: str) -> str:
    """Without the characters that XML has not."""
    return "".join(letter for letter in text if letter in "\t\n\r" or " " <= letter < "\ud800" or letter > "\udfff")
