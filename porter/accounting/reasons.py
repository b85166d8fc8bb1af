"""What is said of a line that is passed over: where it is, and why, with a name and a sentence for each reason."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Place(NamedTuple):
    """A line, from 1; in a notebook of the cell with this number, from 1, or of none (0: the file's own line)."""

    cell: int
    line: int


class Reason(Enum):
    """The value is what --explain-skipped says of a line."""

    COMMENT = "a comment"
    DOCSTRING = "a docstring, or a string that nothing takes"
    MESSAGE = "a message for people: printed, logged, raised or shown as help"
    TEXT = "text by what it is called: a prompt, a title, a description"
    SENTENCE = "a sentence in a string"
    NAME = "a name that the program or a library chose"
    NAME_IN_STRING = "a name in a string"
    PATH = "a path, a URL or the name of a file"
    DATA = "data by where it stands: a key, or a value that no device is"
    ASKED_FOR = "the program asks first whether it is there"
    IGNORED = "a comment asks to ignore it"
    PROSE = "prose of a document"
    SESSION = "an interactive session, which shows what was printed once"
    ANOTHER_LANGUAGE = "a block in another language"
    OUTPUT = "what a cell once printed"
    SUPPORTS_BOTH = "in a file that supports the target already"
    NOT_SELECTED = "by rules that were not selected"
    UNREADABLE = "in a block that does not parse"
    ANOTHER_ENGINE = "code for a compiler or another runtime, which is counted as a whole"
