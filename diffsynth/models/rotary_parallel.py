"""Rotary position embedding on a device that holds some of the tokens only."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import torch
from torch import Tensor

from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.models.rotary import KeptTables

_HOST = torch.device("cpu")


class Rotary(Protocol):
    """Tables of all tokens, such as `AxialRotary`'s."""

    def tables(self, *shape_and_device: object) -> tuple[Tensor, Tensor]:
        """(cos, sin) for tokens laid out so; the last argument is the device."""


class RotaryOfOwnTokens:
    """The rows of the rotary tables that belong to this device's tokens; on the device there are no others."""

    def __init__(self, rotary: Rotary, sequence: SequenceParallel) -> None:
        self._rotary, self._sequence = rotary, sequence
        self._kept = KeptTables()

    def tables(self, *shape_and_device: Hashable | torch.device) -> tuple[Tensor, Tensor]:
        """(cos, sin) of this device's part of the tokens; takes what the whole rotary embedding takes.

        Raises:
            RuntimeError: another number of tokens was shared out.
        """
        *shape, device = shape_and_device
        part, length = self._sequence.part, sum(self._sequence.lengths)

        def make() -> tuple[Tensor, Tensor]:
            cos, sin = self._rotary.tables(*shape, _HOST)
            if cos.shape[0] != length:
                raise RuntimeError(f"tables for {cos.shape[0]} tokens, but {length} are shared out")
            return cos[part].clone(), sin[part].clone()

        return self._kept.get((*shape, part.start, part.stop, length), device, make)
