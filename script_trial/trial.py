"""The trial of a script in its process: what adapters are given, and what comes of it."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from script_trial.engines import deepspeed
from script_trial.known_adapters import adapter_for, libraries
from script_trial.made_up import found_or_made_up, once, with_picture
from script_trial.on_import import Then, on_import
from script_trial.operations import Operations
from script_trial.own_folders import OwnFolders
from script_trial.read_elsewhere import Elsewhere, StandsFor
from script_trial.results import Results
from script_trial.savers import listeners
from script_trial.small import data_sets


@dataclass(frozen=True)
class Place:
    """Where a script is tried.

    Attributes:
        folder: an empty folder to run it in, in the way's below one that all ways of running a script have in common.
        started_in: the folder where input files are looked for before they are made up.
        made_up: the folder for what is made up, which all ways and all processes share.
        results: the folder for what it makes.
        noise_on_cpu: random numbers are drawn on the CPU whatever the script says.
    """

    folder: Path
    started_in: Path
    made_up: Path
    results: Path
    noise_on_cpu: bool = False

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Place:
        paths = {name: Path(told[name]) for name in ("folder", "started_in", "made_up", "results")}
        return cls(**paths, noise_on_cpu=told["noise_on_cpu"])

    def as_json(self) -> dict[str, Any]:
        paths = {name: str(getattr(self, name)) for name in ("folder", "started_in", "made_up", "results")}
        return {**paths, "noise_on_cpu": self.noise_on_cpu}


class Trial:
    """What an adapter may ask for (see `script_trial.adapter.TrialOfAdapter`), and all that is recorded."""

    def __init__(self, place: Place) -> None:
        self.folder, self.started_in, self.made_up = place.folder, place.started_in, place.made_up
        self.of_all_ways = place.folder.parent.parent
        self.noise_on_cpu = place.noise_on_cpu
        self.stand_for: list[StandsFor] = []
        self.elsewhere = Elsewhere([])
        self.own_folders: OwnFolders | None = None
        self.operations = Operations()
        self.results = Results(place.results)
        self.curve: list[dict[str, float]] = []
        self.notes: list[str] = []
        self.adapters: list[str] = []
        self.mixed_precision = False

    def start(self) -> None:
        """From now on savers are listened at, and an adapter is installed as soon as the script imports its library.

        The process should end after the script: savers and libraries stay changed.
        """
        waiting: dict[str, Then] = {
            **listeners(self.results, self.folder, self._place, self._check),
            **deepspeed.hooks(self),
            **data_sets.hooks(self),
        }
        pictures = waiting["PIL.Image"]

        def listen_and_make_up(spec: ModuleSpec) -> None:
            from PIL import Image

            pictures(spec)
            Image.open = with_picture(Image.open, self.found_or_made_up, self.once)

        waiting |= {"PIL.Image": listen_and_make_up, "torch": self._watch_torch(waiting["torch"])}
        for name, find in self.elsewhere.readers().items():
            waiting[name] = _both(find, waiting[name]) if name in waiting else find
        on_import(
            waiting,
            by_name=dict.fromkeys(libraries(), self._install),
        )

    def begin_anew(self, results: Path) -> None:
        """Forgets all that was recorded, and keeps results in this folder from now on."""
        self.results.begin_anew(results)
        self.operations.begin_anew()
        self.curve, self.notes, self.mixed_precision = [], [], False
        if self.own_folders is not None:
            self.own_folders.left = []

    def once(self, name: str, write: Callable[[Path], object]) -> Path:
        with self._making_up():
            return once(self.made_up, name, write)

    def found_or_made_up(self, file: Any, write: Callable[[Path], object]) -> Path:
        with self._making_up():
            return found_or_made_up(self.elsewhere.file(file), self.started_in, self.folder, write)

    def keep(self, name: str, array: Any) -> None:
        self.results.keep(name, array)

    def log(self, values: Mapping[str, float], update: int) -> None:
        self.curve.append({"update": update, **values})

    def name_network(self, name: str, network: Any) -> None:
        self.operations.name(name, network)

    def host_work(self, why: str) -> AbstractContextManager[None]:
        return self.operations.working_on_host(why)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def as_json(self) -> dict[str, Any]:
        """All that was recorded, but for how the script ended."""
        import torch

        self.operations.finish()
        npu: Any = getattr(torch, "npu", None)
        devices = range(npu.device_count()) if npu is not None and npu.is_available() else None
        return {
            "saved": self.results.kept,
            "curve": self.curve,
            "notes": self.notes,
            "adapters": self.adapters,
            "mixed_precision": self.mixed_precision,
            "left": [] if self.own_folders is None else self.own_folders.left,
            **self.operations.as_json(),
            "peak_memory": None if devices is None else sum(map(npu.max_memory_allocated, devices)),
        }

    def _place(self, path: str) -> str:
        """A path in a folder that stands for another one, or whose name is drawn, as it is in every way."""
        for here, there in self.stand_for:
            if Path(path).is_relative_to(here):
                return str(there / Path(path).relative_to(here))
        whole = os.path.realpath(path)
        for drawn in [] if self.own_folders is None else self.own_folders.unique:
            if Path(whole).is_relative_to(drawn):
                return os.path.join("<temporary>", os.path.relpath(whole, os.path.dirname(drawn)).partition(os.sep)[2])
        return path

    def _check(self, file: Any) -> None:
        self.elsewhere.make_room(file)
        if self.own_folders is not None:
            self.own_folders.check(file)

    def _watch_torch(self, listen: Then) -> Then:
        """Besides its saver: whether the script computes in mixed precision, and whether it compiles something."""

        def watch(spec: ModuleSpec) -> None:
            listen(spec)
            torch: Any = sys.modules[spec.name]
            enter, compile_ = torch.autocast.__enter__, torch.compile

            @functools.wraps(enter)
            def entered(autocast: Any) -> Any:
                self.mixed_precision = self.mixed_precision or autocast._enabled
                return enter(autocast)

            @functools.wraps(compile_)
            def compiled(*args: Any, **kwargs: Any) -> Any:
                if not sys._getframe(1).f_globals.get("__name__", "").startswith("deepspeed."):  # as it is imported
                    self.note("what it compiles by torch.compile was run uncompiled, for its operators to be counted")
                torch.compiler.set_stance("force_eager")  # or Dynamo would compile the counting, where it is called
                if kwargs.get("backend", "inductor") == "inductor":
                    kwargs["backend"] = "eager"  # which is not called either, and takes no seconds to import
                return compile_(*args, **kwargs)

            torch.autocast.__enter__, torch.compile = entered, compiled

        return watch

    def _install(self, spec: ModuleSpec) -> None:
        adapter = adapter_for(spec)
        if adapter is not None and adapter.name not in self.adapters:
            self.adapters.append(adapter.name)
            with self._making_up():
                adapter.install(self)

    @contextlib.contextmanager
    def _making_up(self) -> Iterator[None]:
        """What is made up is no result, and computing it is no work of the script's."""
        with self.results.paused(), self.operations.paused():
            yield


def _both(one: Then, other: Then) -> Then:
    def then(spec: ModuleSpec) -> None:
        one(spec)
        other(spec)

    return then
