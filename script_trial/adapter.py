"""The protocol between a trial and a library: what an adapter tells, and what the trial does for it.

A trial runs a script small, on made-up weights, and records what it computed. It knows Python, torch, and the savers of
pictures, arrays and tensors; what it has to know of a library that scripts use is in an adapter, a module or package in
`script_trial.adapters`, or one that another distribution names in the entry point group ``script_trial.adapters``.
Either holds an object ``adapter`` that satisfies `Adapter`. No adapter is imported before its library is there, and
none imports its library at its own top level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class Adapter(Protocol):
    """What there is to know about a library.

    Attributes:
        name: what reports call it.
        library: the top-level module whose import in a script calls for this adapter.
    """

    name: str
    library: str

    def is_for(self, spec: ModuleSpec) -> bool:
        """Whether what would be imported under that name is the library that this adapter knows. Imports nothing."""
        ...

    def warm(self) -> None:
        """Imports what its scripts import and what takes long. Jobs are forked afterwards: it computes nothing with
        torch, starts no thread, and opens no device."""
        ...

    def install(self, trial: TrialOfAdapter) -> None:
        """Hooks into the library, once in the process of a script, as soon as the library has been imported there."""
        ...


@runtime_checkable
class EarlyAdapter(Adapter, Protocol):
    """An adapter of a library that imports much which looks for no device: that is imported once for all ways."""

    def without_device(self) -> Iterable[str]:
        """Modules, of the library and of others, that look for no device while they are imported. May import them."""
        ...


@runtime_checkable
class StockingAdapter(Adapter, Protocol):
    """An adapter that makes before a fork what scripts of its library need alike, see `script_trial.stock`."""

    def fill_stock(self, made_up: Path) -> None:
        """Makes what scripts have needed so far, by notes in the folder for what is made up. As `warm`, it computes
        nothing with torch."""
        ...


class TrialOfAdapter(Protocol):
    """The trial as an adapter sees it.

    Attributes:
        folder: the script's working folder, empty at its start.
        of_all_ways: a folder that is the same for every way of running this script, and for no other script.
        started_in: the user's folder, where files that the script reads are looked for before they are made up.
        made_up: the folder for made-up weights and inputs, which all ways and all processes share; see `once`.
        noise_on_cpu: random numbers are drawn on the CPU whatever the script says, to be the same on every device.
    """

    folder: Path
    of_all_ways: Path
    started_in: Path
    made_up: Path
    noise_on_cpu: bool

    def once(self, name: str, write: Callable[[Path], object]) -> Path:
        """A file or folder ``made_up/name``, written by the first process that asks for it; the others wait.

        What it holds may depend on the name alone, so that all ways read the same.
        """
        ...

    def found_or_made_up(self, file: str | Path, write: Callable[[Path], object]) -> Path:
        """The file where the script or its user has it; else a made-up one, written below `folder`."""
        ...

    def keep(self, name: str, array: Any) -> None:
        """Records a result: an array (numpy, or what numpy takes) that a saver of the library was given.

        Frames are (F, H, W, C), pictures (1, H, W, C), sound (channels, samples); anything else is kept as it is. All
        ways have to keep the same results in the same order, and none may hold NaN or infinity.
        """
        ...

    def log(self, values: Mapping[str, float], update: int) -> None:
        """Records numbers of an update of a training, its loss say, in the process that writes its logs."""
        ...

    def name_network(self, name: str, network: Any) -> None:
        """What reports call a network (an nn.Module). Those that nobody names are called by their class."""
        ...

    def host_work(self, why: str) -> AbstractContextManager[None]:
        """Within it, operators on the host are the library's own deliberate work: counted apart, and no failure."""
        ...

    def note(self, text: str) -> None:
        """Something that the trial did otherwise than the script says, for the report: a smaller size, fewer steps."""
        ...


class CannotMakeUp(Exception):
    """The script needs something that is neither here nor known how to make up; the message names it."""
