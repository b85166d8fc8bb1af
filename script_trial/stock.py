"""What scripts need that can be made before they are forked: once, by the process that forks them.

A script takes what it needs from the stock. What is not there it makes itself, and a note in the folder of what is made
up says so: each process that forks scripts makes it for those that come after.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Key = TypeVar("Key")
Thing = TypeVar("Thing")


class Stock(Generic[Key, Thing]):
    """Things of one kind, each made from a key that says all there is to know of it. Threads may share one.

    Args:
        name: of the kind.
        make: makes one in a script.
        make_before: makes one before a fork. It computes nothing with torch, starts no thread and opens no device, and
            raises where it would.
        is_shared: whether all that ask for a key may have the same thing. Otherwise each is taken by one.
    """

    def __init__(
        self, name: str, make: Callable[[Key], Thing], make_before: Callable[[Key], Thing], *, is_shared: bool = False
    ) -> None:
        self._folder = f".stock-{name}"
        self._make, self._make_before = make, make_before
        self._is_shared = is_shared
        self._there: dict[str, list[Thing]] = {}
        self._noted: set[str] = set()
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, key: Key, made_up: Path) -> Thing:
        """The thing of this key. A process that does not fork scripts may change what it has taken."""
        try:
            content = pickle.dumps(key)
        except (pickle.PicklingError, AttributeError, TypeError):  # nobody else could be told of it
            return self._make(key)
        digest = hashlib.sha256(content).hexdigest()
        with self._lock:
            there = self._there.setdefault(digest, [])
            if there:
                self._taken[digest] += 1
                return there[0] if self._is_shared else there.pop()
            # As many are needed as a script takes, of which some may have been there.
            self._note(content, f"{digest}-{self._taken[digest]}", made_up)
            self._taken[digest] += 1
            thing = self._make(key)
            if self._is_shared:
                there.append(thing)
            return thing

    def fill(self, made_up: Path) -> None:
        """Makes what scripts have found missing. What cannot be made now is left to each script."""
        folder = made_up / self._folder
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(set(os.listdir(folder)) - self._noted):
                if name.startswith("."):
                    continue
                self._noted.add(name)
                with contextlib.suppress(Exception):
                    thing = self._make_before(pickle.loads((folder / name).read_bytes()))
                    self._there.setdefault(name.partition("-")[0], []).append(thing)

    def _note(self, content: bytes, name: str, made_up: Path) -> None:
        """Whole or not at all, since others read it."""
        place = made_up / self._folder / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            unfinished = place.with_name(f".{name}.{os.getpid()}")
            unfinished.write_bytes(content)
            unfinished.replace(place)
