"""What is imported before there is a device, once for processes that each have another one.

A module may be named here that asks for no device while it is imported, with all that it imports.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from script_trial.adapter import EarlyAdapter
from script_trial.known_adapters import adapter_for, known_adapters

#: What scripts import whichever library they use, or is there whenever torch is.
ALWAYS = ("torch", "sympy", "PIL.Image", "script_trial.run_script")

#: The parts of torch that libraries of models import besides.
OF_TORCH = (
    "torch._dynamo",
    "torch.distributed.algorithms.ddp_comm_hooks",
    "torch.distributed.checkpoint",
    "torch.distributed.elastic.rendezvous.static_tcp_rendezvous",
    "torch.distributed.run",
    "torch.distributed.tensor",
    "torch.nn.attention.flex_attention",
    "torch.utils.serialization.config",
)

#: What transformers has for all models, but for their networks: those ask which attention there is.
OF_TRANSFORMERS = (
    "transformers",
    "transformers.cache_utils",
    "transformers.data.data_collator",
    "transformers.feature_extraction_utils",
    "transformers.generation.candidate_generator",
    "transformers.generation.stopping_criteria",
    "transformers.image_transforms",
    "transformers.modeling_outputs",
    "transformers.modeling_rope_utils",
    "transformers.models.auto.feature_extraction_auto",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.video_utils",
)

#: Packages of devices. A library that looks whether one is there keeps the answer.
_OF_DEVICES = ("torch_npu",)


class DeviceAskedFor(Exception):
    """A module looked for a device while it was imported. Where that has happened, no other process may begin."""


def import_always() -> None:
    """Raises DeviceAskedFor."""
    with _no_device_looked_for():
        _import(ALWAYS)


def import_early(libraries: Iterable[str]) -> None:
    """What the adapters of these libraries name, of those that are installed. Raises DeviceAskedFor."""
    wanted = set(libraries)
    with _no_device_looked_for():
        for adapter in known_adapters():
            spec = find_spec(adapter.library) if adapter.library in wanted else None
            if spec is not None and isinstance(adapter, EarlyAdapter) and adapter_for(spec) is adapter:
                _import(adapter.without_device())


def _import(names: Iterable[str]) -> None:
    """Of the modules those that are there. One that cannot be imported is left to those who need it, to fail there."""
    for name in names:
        with contextlib.suppress(Exception):
            if find_spec(name.partition(".")[0]) is not None:
                import_module(name)


@contextlib.contextmanager
def _no_device_looked_for() -> Iterator[None]:
    looking = _Looking()
    sys.meta_path.insert(0, looking)
    try:
        yield
    finally:
        sys.meta_path.remove(looking)
    if looking.looked_for:
        raise DeviceAskedFor(f"{looking.looked_for} was looked for before there is a device")


class _Looking:
    """A finder that finds nothing, and notes which package of a device is looked for."""

    looked_for = ""

    def find_spec(self, name: str, *_: Any) -> None:
        if name in _OF_DEVICES:
            self.looked_for = name
