"""Replaces attributes and dictionary entries, remembers what was there, and puts it back in reverse order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol


class Patch(Protocol):
    """One replacement: ``apply`` makes it and returns what takes it back; ``label`` is its name in reports."""

    @property
    def label(self) -> str: ...

    def apply(self) -> Callable[[], None]: ...


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


@dataclass(frozen=True)
class Member:
    """Puts ``value`` first in the list ``target``."""

    target: list[Any]
    value: Any
    label: str

    def apply(self) -> Callable[[], None]:
        self.target.insert(0, self.value)
        return lambda: self.target.remove(self.value)


ABSENT = object()


class Patcher:
    """A list of undo steps, walked backwards. Applying is all or nothing."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self.labels: list[str] = []

    def apply(self, patches: Iterable[Patch]) -> None:
        """Makes the replacements in order; if one fails, those before it are taken back and the error goes on."""
        try:
            for patch in patches:
                self._undo.append(patch.apply())
                self.labels.append(patch.label)
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Takes every replacement back, the last one first."""
        while self._undo:
            self._undo.pop()()
        self.labels.clear()
