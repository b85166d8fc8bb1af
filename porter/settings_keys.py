"""What each key of `[tool.diffsynth-port]` may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from porter.findings import SEVERITIES
from porter.reporting import FORMATS

#: Says what a setting should be where the value is something else.
Check = Callable[[Any], str | None]


def _one_of(choices: Callable[[], Sequence[str]]) -> Check:
    def check(value: object) -> str | None:
        return None if value in choices() else "one of " + ", ".join(f'"{choice}"' for choice in choices())

    return check


def _kind(accepts: Callable[[Any], bool], expected: str) -> Check:
    return lambda value: None if accepts(value) else expected


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _targets() -> Sequence[str]:
    from porter.targets import TARGETS

    return (*TARGETS, "cuda")


def _hardware() -> Sequence[str]:
    from porter.targets import hardware_lines

    return hardware_lines("npu")


def _torch_npu(value: object) -> str | None:
    from porter.torch_npu_builds import UnknownBuild, build_for, known_builds

    try:
        build_for(value if isinstance(value, str) else "")
    except UnknownBuild:
        return f"a build of torch_npu ({', '.join(known_builds())}) or a later post release of one"
    return None


_TEXTS = _kind(_is_texts, "a list of texts")
_SWITCH = _kind(lambda value: isinstance(value, bool), "true or false")

#: By key; the keys are those of `[tool.diffsynth-port]`.
CHECKS: dict[str, Check] = {
    "target": _one_of(_targets),
    "hardware": _one_of(_hardware),
    "torch-npu": _torch_npu,
    "select": _TEXTS,
    "ignore": _TEXTS,
    "exclude": _TEXTS,
    "per-file-ignores": _kind(
        lambda value: isinstance(value, dict) and all(map(_is_texts, value.values())),
        "a table of patterns, each with a list of rules",
    ),
    "jobs": _kind(lambda value: type(value) is int and value >= 1, "a whole number of at least 1"),
    "fail-on": _one_of(lambda: [severity for severity in SEVERITIES if severity != "fix"]),
    "format": _one_of(lambda: FORMATS),
    "baseline": _kind(lambda value: isinstance(value, str) and value != "", "the path of a file"),
    "record": _kind(lambda value: isinstance(value, str) and value != "", "the path of a file"),
    "statistics": _SWITCH,
    "quiet": _SWITCH,
    "unsafe-fixes": _SWITCH,
    "rules": _kind(lambda value: isinstance(value, dict), "a table of rules, each a table by its code"),
}


def described(value: object) -> str:
    """A value of the wrong kind, as an error message calls it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'the text "{value}"'
        case list():
            odd = [one for one in value if not isinstance(one, str)]
            return f"a list that holds {described(odd[0])}" if odd else "a list"
        case dict():
            odd = [one for one in value.values() if not _is_texts(one)]
            return f"a table that holds {described(odd[0])}" if odd else "a table"
        case _:
            return f"{value}"
