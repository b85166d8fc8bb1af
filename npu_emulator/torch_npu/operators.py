"""torch_npu's operators as functions: those of ``torch.ops.npu`` and ``torch.ops.atb``."""

from __future__ import annotations

from typing import Any

import torch

from npu_emulator.operators import namespace


class _SeveralResults:
    """An operator that writes several results, which ``out=(...)`` may name together."""

    def __init__(self, packet: Any, names: list[str]) -> None:
        self._packet, self._names = packet, names

    def __call__(self, *arguments: Any, out: Any = None, **keywords: Any) -> Any:
        if out is None:
            return self._packet(*arguments, **keywords)
        return self._packet.out(*arguments, **keywords, **dict(zip(self._names, out, strict=True)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packet, name)

    def __repr__(self) -> str:
        return repr(self._packet)


def find(name: str) -> Any:
    """The operator of that name, or None."""
    library = namespace.library_of(name)
    if library is None:
        return None
    packet = getattr(getattr(torch.ops, library), name)
    if "out" not in packet.overloads():
        return packet
    written = [
        argument.name
        for argument in packet.out._schema.arguments
        if argument.kwarg_only and argument.alias_info is not None and argument.alias_info.is_write
    ]
    return _SeveralResults(packet, written) if len(written) > 1 else packet


def names() -> list[str]:
    """Every operator's name."""
    return [*namespace.schemas("npu"), *namespace.schemas("atb")]
