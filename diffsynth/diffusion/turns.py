"""Who uses a pipeline's networks now: calls side by side or one after another, their interruption, and changes of the
networks, which wait until no call runs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from diffsynth.diffusion.base_pipeline import BasePipeline

Method = TypeVar("Method", bound=Callable[..., Any])


class PipelineBusyError(RuntimeError):
    """A network is to be changed in the middle of a call, while another thread computes with it."""


@dataclass
class _Call:
    """A call that runs: whether no other may run beside it, and whether it is to end after its step."""

    alone: bool
    interrupted: bool = False


class Turns:
    """Lets calls and changes in. What a thread does within its own call or change, such as in a callback, comes at
    once.

    Attributes:
        changes: how many there were.
    """

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._calls: dict[int, _Call] = {}  # by thread
        self._changing: int | None = None
        self._changes_waiting = 0
        self.changes = 0

    @contextmanager
    def call(self, *, alone: bool) -> Iterator[None]:
        """A generation. `alone` waits until no other thread's call runs, and keeps others waiting."""
        thread = threading.get_ident()
        with self._news:
            outer = self._calls.get(thread)
            if outer is None:
                self._news.wait_for(lambda: self._may_call(alone))
            self._calls[thread] = _Call(alone or (outer is not None and outer.alone))
        try:
            yield
        finally:
            with self._news:
                if outer is None:
                    del self._calls[thread]
                else:
                    self._calls[thread] = outer
                self._news.notify_all()

    def _may_call(self, alone: bool) -> bool:
        if self._changing is not None or self._changes_waiting:
            return False
        return not self._calls or not (alone or any(call.alone for call in self._calls.values()))

    @contextmanager
    def change(self, what: str) -> Iterator[None]:
        """A change of the networks, called `what`. Waits until no other thread's call runs.

        Raises:
            PipelineBusyError: this is in a callback of this thread's own call, and other threads' calls run: they might
                wait for each other for ever.
        """
        thread = threading.get_ident()
        if self._changing == thread:
            yield
            return
        with self._news:
            if thread in self._calls and len(self._calls) > 1:
                raise PipelineBusyError(
                    f"{what} in a callback, while {len(self._calls) - 1} other threads generate with the same "
                    "networks: call it before or after, or give each thread a pipeline of its own"
                )
            self._changes_waiting += 1
            try:
                self._news.wait_for(lambda: self._changing is None and not self._calls.keys() - {thread})
                self._changing = thread
            finally:
                self._changes_waiting -= 1
                self._news.notify_all()
        try:
            yield
        finally:
            with self._news:
                self._changing = None
                self.changes += 1
                self._news.notify_all()

    @property
    def interrupted(self) -> bool:
        """Whether this thread's call is to end after its step; from outside, whether every one that runs is."""
        with self._news:
            meant = self._meant()
            return bool(meant) and all(call.interrupted for call in meant)

    @interrupted.setter
    def interrupted(self, value: bool) -> None:
        with self._news:
            for call in self._meant():
                call.interrupted = bool(value)

    def _meant(self) -> list[_Call]:
        own = self._calls.get(threading.get_ident())
        return list(self._calls.values()) if own is None else [own]


def in_turn(call: Method) -> Method:
    """A pipeline's call, for several threads: at once where the weights stay where they are, else one after another."""

    @functools.wraps(call)
    def called(pipe: BasePipeline, *args: Any, **kwargs: Any) -> Any:
        with pipe._turns.call(alone=pipe.runs_alone), pipe._first_call_timed():
            return call(pipe, *args, **kwargs)

    return called  # type: ignore[return-value]


def between_calls(change: Method) -> Method:
    """A pipeline's method that changes its networks: it waits for calls of other threads, and they wait for it."""

    @functools.wraps(change)
    def changed(pipe: BasePipeline, *args: Any, **kwargs: Any) -> Any:
        with pipe._turns.change(f"{change.__name__}()"):
            return change(pipe, *args, **kwargs)

    return changed  # type: ignore[return-value]
