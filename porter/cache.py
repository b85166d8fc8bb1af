"""What earlier runs found out about files that have not changed since, so that a run need not read them again.

One file for each combination of paths and settings, in a folder that people may delete at any time. Nothing that is
wrong with the cache ever stops a run: what cannot be read is found out anew, what cannot be written is not kept.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from porter import __version__
from porter.findings import FileReport, Finding

_TOOL = "diffsynth-port"

#: Files of the cache that are kept: those used last.
_KEPT = 64

#: Of a finding, all but its edits.
_KEPT_FIELDS = len(Finding._fields) - 1

#: A file changed so shortly before it was looked at may change again within the same tick of its clock.
_TICK = 50_000_000


class Cache:
    """Facts by file, each as long as the file has the size and the time of change that it had.

    `file` is None for a cache that forgets everything with the run.
    """

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._facts: dict[str, list[Any]] = {} if file is None else _read(file)
        self._fresh: dict[str, dict[str, Any] | None] = {}
        self._changed = False

    def recall(self, path: str, name: str, find_out: Callable[[], Any]) -> Any:
        """A fact about a file, of what JSON has; found out and kept where it is not known."""
        known = self._of(path)
        if known is None:
            return find_out()
        if name not in known:
            known[name] = find_out()
            self._changed = True
        return known[name]

    def findings(self, path: str, circumstances: str) -> tuple[Finding, ...] | None:
        """What there is to say about a file in which nothing changes; None where that is not known.

        `circumstances` tells what else it rests on: what the other files of the run hold.
        """
        known = (self._of(path) or {}).get("findings")
        if known is None or known[0] != circumstances:
            return None
        return tuple(Finding(*one) for one in known[1])

    def keep(self, path: str, circumstances: str, report: FileReport) -> None:
        """Remembers a report if nothing was to be changed, so that no finding has edits, and nothing failed."""
        known = self._of(path)
        if known is not None and not report.changed and report.failure is None:
            known["findings"] = [circumstances, [one[:_KEPT_FIELDS] for one in report.findings]]
            self._changed = True

    def save(self) -> None:
        """Writes what is known of the files that this run has looked at."""
        if self._file is None or not self._changed:
            return
        facts = {path: [*self._facts[path][:2], known] for path, known in self._fresh.items() if known}
        folder = os.path.dirname(self._file)
        beside = f"{self._file}.{os.getpid()}.tmp"
        with suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            try:
                with open(beside, "w", encoding="utf-8", errors="surrogatepass") as file:
                    file.write(json.dumps(facts, separators=(",", ":")))
                os.replace(beside, self._file)
            finally:
                if os.path.lexists(beside):
                    os.unlink(beside)
            _prune(folder)

    def _of(self, path: str) -> dict[str, Any] | None:
        """The facts about a file as it is now; None where they cannot be kept."""
        if path not in self._fresh:
            self._fresh[path] = self._looked_up(path)
        return self._fresh[path]

    def _looked_up(self, path: str) -> dict[str, Any] | None:
        try:
            state = os.stat(path)
        except OSError:
            return None
        if time.time_ns() - state.st_mtime_ns < _TICK:
            return None
        known = self._facts.get(path)
        if known is None or known[0] != state.st_mtime_ns or known[1] != state.st_size:
            known = self._facts[path] = [state.st_mtime_ns, state.st_size, {}]
        facts: dict[str, Any] = known[2]
        return facts


def cache_file(folder: str | None, *what_counts: object) -> str:
    """The file for a run. `what_counts` is all that a finding rests on besides the file: settings, plan, paths.

    `folder` is where the cache is; None: `$XDG_CACHE_HOME/diffsynth-port`, by default below ~/.cache.
    """
    key = repr((__version__, sys.version_info[:3], os.getcwd(), _code(), what_counts))
    base = folder or _default_folder()
    return os.path.join(base, blake2b(os.fsencode(key), digest_size=16).hexdigest() + ".json")


def _default_folder() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, _TOOL)


def _code() -> str:
    """Changes with the tool's own files: a checkout that is being worked on never answers as it did before."""
    here = os.path.dirname(os.path.abspath(__file__))
    tables = os.path.join(os.path.dirname(here), "accelerator_tables")
    seen = sorted((path, state.st_mtime_ns, state.st_size) for top in (here, tables) for path, state in _files(top))
    return blake2b(repr(seen).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _files(top: str) -> Iterator[tuple[str, os.stat_result]]:
    folders = [top]
    while folders:
        with suppress(OSError):
            for entry in os.scandir(folders.pop()):
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif entry.name.endswith((".py", ".json")):
                    yield entry.path, entry.stat()


def _read(file: str) -> dict[str, list[Any]]:
    """The facts in a file; none where it is not there or damaged."""
    try:
        with open(file, encoding="utf-8", errors="surrogatepass") as opened:
            facts = json.loads(opened.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and all(map(_is_entry, facts.values())) else {}


def _is_entry(entry: object) -> bool:
    """Whether an entry has the form in which `save` writes them; anything else is damage."""
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[2], dict):
        return False
    findings = entry[2].get("findings", ["", []])
    if not isinstance(findings, list) or len(findings) != 2 or not isinstance(findings[1], list):
        return False
    return all(isinstance(one, list) and len(one) == _KEPT_FIELDS for one in findings[1])


def _prune(folder: str) -> None:
    files = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(folder) if entry.name.endswith(".json")]
    for _, path in sorted(files)[:-_KEPT]:
        os.unlink(path)
