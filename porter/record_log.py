"""Where the records of ports are kept: a line of JSON for each file ported, the newest of a file counts.

They are in the user's state folder, a log for each folder that holds ported files; with `--record FILE` they are in
that one as well, by paths as seen from it, so that it can be committed. Lines are appended before the file itself is
written: a run that is killed leaves no ported file without its record, and runs at the same time lose none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from zlib import crc32

from porter.files import CannotWrite, locked, relative_to, replace_file
from porter.record import Entry

_TOOL = "diffsynth-port"
_VERSION = 1
_HEAD = json.dumps({"tool": _TOOL, "record": _VERSION}).encode("ascii") + b"\n"

#: A log with so many lines is rewritten once most of them are of no use any more.
_MANY_LINES = 2000


class RecordError(Exception):
    """The record cannot be read or written; the message names the file and what to do."""


class Kept(NamedTuple):
    """An entry, and the path it was kept under, as the log has it."""

    path: str
    entry: Entry


@dataclass(frozen=True, eq=False)  # two runs may find different things in the same file
class Record:
    """The record that a run reads and writes: the state folder's, or the one in `file`.

    `beside` are files that were written as such a one before, by whom- and wherever: read where the record has nothing.
    """

    file: str | None = None
    beside: tuple[str, ...] = ()

    def check(self, must_exist: bool) -> None:
        """Raises RecordError if the file named by --record cannot be used."""
        if self.file is None:
            return
        if os.path.exists(self.file):
            list(_log(self.file).items())
        elif must_exist:
            raise RecordError(f"{self.file}: there is no such record; a port with --record {self.file} writes it")
        elif not os.path.isdir(os.path.dirname(os.path.abspath(self.file))):
            raise RecordError(f"{self.file}: there is no such folder; make it, or name another file")

    def entry(self, path: str) -> Entry | None:
        """What ports changed in the file at a path, the latest word of it. Raises RecordError."""
        log, key = self._place(path)
        entry = _log(log).get(key)
        others = (Record(file).entry(path) for file in self.beside)
        return entry or next((other for other in others if other is not None), None)

    def all_kept(self) -> Iterator[Kept]:
        """Every entry, by the path that its file had. Raises RecordError for a file that was named."""
        for log in self._logs():
            for key, entry in _log(log).items():
                yield Kept(self._path(key), entry)
        for file in self.beside:
            yield from Record(file).all_kept()

    def keep(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Note what ports changed in files, by path, unless that is noted. A state folder that cannot be written costs
        only the notes.

        Raises RecordError where a file was named and cannot be written.
        """
        if self.file is not None:
            entries = list(entries)
            Record().keep(entries)
        fresh: dict[str, dict[str, Entry]] = {}
        for path, entry in entries:
            log, key = self._place(path)
            if _log(log).get(key) != entry:
                fresh.setdefault(log, {})[key] = entry
        for log, by_key in fresh.items():
            try:
                if self.file is None:
                    _made(os.path.dirname(log))
                _append(log, b"".join(map(_line, by_key.items())))
            except OSError as error:
                if self.file is not None:
                    raise RecordError(f"{self.file}: the record was not written: {error.strerror or error}") from None
            _log(log).update(by_key)

    def tidy(self) -> None:
        """Leave one line for each file in the file that was named, sorted, so that it makes small differences."""
        if self.file is not None and os.path.exists(self.file):
            _log.cache_clear()
            _rewrite(self.file)

    def _place(self, path: str) -> tuple[str, str]:
        """The log in which a file is noted, and its name there."""
        folder, name = os.path.split(path if os.path.isabs(path) else os.path.abspath(path))
        real = os.path.realpath(path) if os.path.islink(path) else os.path.join(_real_folder(folder), name)
        if self.file is not None:
            return self.file, relative_to(self._folder, real)
        return _log_of(_real_folder(folder), state_folder()), real

    def _logs(self) -> list[str]:
        if self.file is not None:
            return [self.file]
        with suppress(OSError):
            return [entry.path for entry in os.scandir(state_folder()) if entry.name.endswith(".jsonl")]
        return []

    def _path(self, key: str) -> str:
        return key if self.file is None else os.path.join(self._folder, key)

    @property
    def _folder(self) -> str:
        return _real_folder(os.path.dirname(os.path.abspath(self.file or "")))


def is_record(path: str) -> bool:
    """Whether a file is what `--record` writes, by its first line."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_HEAD)) == _HEAD
    except OSError:
        return False


def state_folder() -> str:
    """`$XDG_STATE_HOME/diffsynth-port/record`, by default below ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, _TOOL, "record")


@cache
def _made(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


@cache
def _log_of(folder: str, state: str) -> str:
    name = os.path.basename(folder) or "root"
    return os.path.join(state, f"{name[:60]}-{crc32(os.fsencode(folder)):08x}.jsonl")


class _Log:
    """The newest entry of each file in a log, as it was when this process first asked, and what it has kept since.

    Of a line only the path is read until its entry is asked for: a run on several processes asks each for its own.
    """

    def __init__(self, log: str) -> None:
        self._log = log
        self._entries: dict[str, Entry] = {}
        lines = _lines(log)
        self._lines = {_path(line, log, number): (line, number) for number, line in enumerate(lines, 2)}
        if len(lines) > max(_MANY_LINES, 2 * len(self._lines)):
            with suppress(OSError, CannotWrite):
                _rewrite(log)

    def get(self, key: str) -> Entry | None:
        if key not in self._entries and key in self._lines:
            line, number = self._lines[key]
            self._entries[key] = _read(line, self._log, number).entry
        return self._entries.get(key)

    def items(self) -> Iterator[tuple[str, Entry]]:
        for key in dict.fromkeys((*self._lines, *self._entries)):
            entry = self.get(key)
            assert entry is not None
            yield key, entry

    def update(self, entries: dict[str, Entry]) -> None:
        self._entries |= entries


_log = cache(_Log)


def _lines(log: str) -> list[bytes]:
    """The lines of a log but for its head, and for a last one that was never finished."""
    try:
        with open(log, "rb") as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RecordError(f"{log}: the record cannot be read: {error.strerror or error}") from None
    if not content:
        return []
    head, *lines = content.split(b"\n")
    try:
        told: Any = json.loads(head)
        version = told["record"] if told["tool"] == _TOOL else None
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    if version is None:
        raise RecordError(f"{log}: not a record of {_TOOL}; name another file")
    if version != _VERSION:
        raise RecordError(f"{log}: a record of version {version!r}; this {_TOOL} knows version {_VERSION}")
    return lines[:-1]


def _line(noted: tuple[str, Entry]) -> bytes:
    key, entry = noted
    return json.dumps({"path": key, **entry.to_json()}, separators=(",", ":")).encode("ascii") + b"\n"


#: How the lines begin that `_line` has made.
_PATH = '{"path":'


def _path(line: bytes, log: str, number: int) -> str:
    """The path of a line, without a look at what follows."""
    text = line.decode("ascii", "replace")
    if text.startswith(_PATH):
        with suppress(ValueError):
            return str(_DECODER.raw_decode(text, len(_PATH))[0])
    return _read(line, log, number).path


_DECODER = json.JSONDecoder()


def _read(line: bytes, log: str, number: int) -> Kept:
    try:
        content = json.loads(line)
        return Kept(str(content["path"]), Entry.from_json(content))
    except (ValueError, KeyError, TypeError, RecursionError):
        message = f"{log}: the record is damaged in line {number}; take the line out, or undo with --no-record"
        raise RecordError(message) from None


def _append(log: str, line: bytes) -> None:
    """One write, at the end of the file that has the name, whoever else writes or rewrites it."""
    with locked(log):
        file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            size = os.lseek(file, 0, os.SEEK_END)
            if not size:
                line = _HEAD + line
            elif _read_from(file, size - 1) != b"\n":  # a run was killed in the middle of a line
                os.ftruncate(file, _read_from(file, 0).rfind(b"\n") + 1)
            os.write(file, line)
        finally:
            os.close(file)


def _read_from(file: int, offset: int) -> bytes:
    size = os.lseek(file, 0, os.SEEK_END) - offset
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, size)


def _rewrite(log: str) -> None:
    with locked(log):
        newest: dict[str, bytes] = {}
        for number, line in enumerate(_lines(log), 2):
            newest[_read(line, log, number).path] = line
        replace_file(log, b"".join([_HEAD, *(newest[path] + b"\n" for path in sorted(newest))]))
