"""What the accelerator refused, told from its own words: the same on hardware and on an emulated device."""

from __future__ import annotations

import re

# "call aclnnIndex failed ... not implemented for DT_COMPLEX64, should be in dtype support list [...]. (index on
# complex64, ...)", and "atanh is not supported on ascend-950dt: none of aclnnAtanh is defined for it"
_REFUSED = re.compile(
    r"not implemented for DT_\w+, should be in dtype support list|is not supported on (?:atlas|ascend)-|"
    r"dimension should not be more than 8"
)
# The emulated device says which operator; hardware names its kernel.
_OPERATOR = (
    re.compile(r"\((\w+ on \w+), "),
    re.compile(r"^(\w+) is not supported on"),
    re.compile(r"\b(aclnn\w+)"),
    re.compile(r"^(\w+)"),
)

# It runs, but on the host's processor.
_ON_THE_HOST = re.compile(
    r"^(\w+ on \w+) runs on the AI CPU|"
    r"operator '(\S+?)' is not currently supported on the NPU backend"
)


def refused(message: str) -> str | None:
    """The operator that a message of an error or warning says is refused, or None if it says no such thing."""
    if not _REFUSED.search(message):
        return None
    found = next(filter(None, (pattern.search(message) for pattern in _OPERATOR)), None)
    return found[1] if found else message


def left_to_the_host(message: str) -> str | None:
    """The operator that a warning says runs on the host instead, or None if it says no such thing."""
    found = None if refused(message) else _ON_THE_HOST.search(message)
    return (found[1] or found[2]) if found else None
