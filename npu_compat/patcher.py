"""Replaces attributes and dictionary entries, remembers what was there, and puts it back in reverse order.

What somebody else has put in the place of a replacement meanwhile is theirs, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol


class Patch(Protocol):
    """One replacement; ``label`` is its name in reports."""

    @property
    def label(self) -> str: ...

    def apply(self) -> Callable[[], None]:
        """Makes it, and returns what takes it back."""

    def in_force(self) -> bool:
        """Whether it is still there, after ``apply``: nobody else has replaced or removed it."""


@dataclass(frozen=True)
class Attribute:
    """Sets ``target.name``; an attribute the target only inherited is deleted again on undo."""

    target: Any
    name: str
    value: Any
    label: str

    def apply(self) -> Callable[[], None]:
        own = vars(self.target)
        had, old = self.name in own, own.get(self.name)
        setattr(self.target, self.name, self.value)

        def undo() -> None:
            if had:
                setattr(self.target, self.name, old)
            else:
                delattr(self.target, self.name)

        return undo

    def in_force(self) -> bool:
        return vars(self.target).get(self.name, ABSENT) is self.value


@dataclass(frozen=True)
class Entry:
    """Sets ``target[key]``, or removes it where the value is ABSENT."""

    target: MutableMapping[Any, Any]
    key: Any
    value: Any
    label: str

    def apply(self) -> Callable[[], None]:
        had, old = self.key in self.target, self.target.get(self.key)
        if self.value is ABSENT:
            self.target.pop(self.key, None)
        else:
            self.target[self.key] = self.value

        def undo() -> None:
            if had:
                self.target[self.key] = old
            else:
                self.target.pop(self.key, None)

        return undo

    def in_force(self) -> bool:
        found = self.target.get(self.key, ABSENT)
        return found is self.value or bool(found == self.value)


@dataclass(frozen=True)
class Cache:
    """Empties the cache ``target.name``, which its owner fills again, and once more on undo."""

    target: Any
    name: str
    label: str

    def apply(self) -> Callable[[], None]:
        setattr(self.target, self.name, None)
        return lambda: setattr(self.target, self.name, None)

    def in_force(self) -> bool:
        return True


@dataclass(frozen=True)
class Member:
    """Puts ``value`` first in the list ``target``."""

    target: list[Any]
    value: Any
    label: str

    def apply(self) -> Callable[[], None]:
        self.target.insert(0, self.value)
        return lambda: self.target.remove(self.value)

    def in_force(self) -> bool:
        return self.value in self.target


ABSENT = object()


class Patcher:
    """A list of patches and their undo steps, walked backwards."""

    def __init__(self) -> None:
        self._applied: list[tuple[Patch, Callable[[], None]]] = []

    @property
    def labels(self) -> list[str]:
        """The names of what is replaced, each once."""
        return list(dict.fromkeys(patch.label for patch, _ in self._applied))

    def apply(self, patches: Iterable[Patch]) -> None:
        """Makes the replacements in order; if one fails, these are all taken back and the error goes on."""
        before = len(self._applied)
        try:
            for patch in patches:
                self._applied.append((patch, patch.apply()))
        except BaseException:
            self._undo_to(before)
            raise

    def replaced_by_others(self) -> list[str]:
        """The names of replacements that somebody else has replaced or removed since."""
        # Of several patches of one place the last is the one to be found there.
        places = {_place(patch): patch for patch, _ in self._applied}
        return list(dict.fromkeys(patch.label for patch in places.values() if not patch.in_force()))

    def undo(self) -> tuple[list[str], dict[str, str]]:
        """Takes every replacement back, the last one first, whatever happens to one of them.

        Returns:
            The names left as they are, because somebody else has replaced them, and those that could not be put back,
            with the reason.
        """
        return self._undo_to(0)

    def _undo_to(self, count: int) -> tuple[list[str], dict[str, str]]:
        kept: list[str] = []
        failed: dict[str, str] = {}
        taken: set[Any] = set()
        while len(self._applied) > count:
            patch, undo = self._applied.pop()
            place = _place(patch)
            try:
                if place in taken or not patch.in_force():
                    taken.add(place)  # of somebody else now: an earlier patch of the same place is not undone either
                    kept.append(patch.label)
                else:
                    undo()
            except Exception as error:
                failed[patch.label] = f"{type(error).__name__}: {error}"
        return list(dict.fromkeys(kept)), failed


def _place(patch: Patch) -> Any:
    """What tells whether two patches are of the same place."""
    if isinstance(patch, Attribute):
        return id(patch.target), patch.name
    if isinstance(patch, Entry):
        return id(patch.target), patch.key
    return id(patch)
