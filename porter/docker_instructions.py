"""A Dockerfile: the images that it builds on, and its commands as a shell script of the same length.

    FROM nvidia/cuda:12.1      ->
    RUN pip install xformers   ->      pip install xformers
    ENV CUDA_VISIBLE_DEVICES 0 ->      CUDA_VISIBLE_DEVICES=0

Every character stands for one, so that places in one text are places in the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from porter.text_unit import Lines, Span

_INSTRUCTION = re.compile(
    r"^[ \t]*(?P<keyword>[A-Za-z]+)[ \t]+(?P<rest>(?:[^\n\\]|\\[^\n]|\\\r?\n(?:[ \t]*\#[^\n]*\n)*)*)", re.MULTILINE
)
_FLAGS = re.compile(r"(?:--[\w-]+(?:=\S+)?[ \t]+)+")
_COMMENT_WITHIN = re.compile(r"(?<=\n)[ \t]*\#[^\n]*(?=\n)")
_FROM = re.compile(r"(?:--platform=\S+[ \t]+)?(?P<image>\S+)")


@dataclass(frozen=True)
class BaseImage:
    """What stands behind FROM."""

    name: str
    span: Span


class Dockerfile(Lines):
    """One file."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.images: list[BaseImage] = []
        pieces: list[str] = []
        at = 0
        for found in _INSTRUCTION.finditer(text):
            pieces += _overwritten(text[at : found.start("rest")]), self._as_shell(found)
            at = found.end()
        self.shell = "".join([*pieces, _overwritten(text[at:])])

    def _as_shell(self, instruction: re.Match[str]) -> str:
        keyword, rest = instruction["keyword"].upper(), instruction["rest"]
        if keyword == "FROM" and (image := _FROM.match(rest)):
            start = len(self.text[: instruction.start("rest") + image.start("image")].encode())
            self.images.append(BaseImage(image["image"], (start, start + len(image["image"].encode()))))
        if keyword in ("ENV", "ARG"):
            return "\n".join(map(_as_assignments, rest.split("\n")))
        if keyword not in ("RUN", "CMD", "ENTRYPOINT") or rest.lstrip().startswith("["):
            return _overwritten(rest)
        flags = _FLAGS.match(rest)
        rest = " " * flags.end() + rest[flags.end() :] if flags else rest
        return _COMMENT_WITHIN.sub(lambda comment: " " * (len(comment[0]) - 1) + "\\", rest)


def _as_assignments(line: str) -> str:
    """`NAME value` is set as `NAME=value` is."""
    return line if "=" in line else re.sub(r"^(\s*\w+) (?=\S)", r"\1=", line)


def _overwritten(text: str) -> str:
    return re.sub(r"[^\r\n]", " ", text)
