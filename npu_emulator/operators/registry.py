"""What each operator computes, and what its backward is: filled by the decorators below, read by the namespace.

A kernel computes on host tensors over the same bytes as the npu tensors of the call, so nothing it does inside is
charged with the refusals of torch's own operators. Its parameters are those of the operator's schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Function)


@dataclass(frozen=True)
class Kernel:
    """One operator's computation.

    Attributes:
        compute: called with the schema's arguments, on host tensors.
        shapes: the same on meta tensors, for tracing; None where the results' shapes depend on the values.
        draws: it draws from the device's random numbers.
        makes: no argument is a tensor: it makes npu tensors, by other operators.
        either: names of arguments that may be on the host as well.
    """

    compute: Function
    shapes: Function | None
    draws: bool
    makes: bool
    either: tuple[str, ...] = ()


@dataclass(frozen=True)
class Derivative:
    """The gradients of an operator.

    Attributes:
        of: names of the arguments that have one, in the order that ``formula`` returns them.
        formula: its parameters name what it needs: ``grad`` (of the first result), ``grad1``..., ``result0``...,
            ``needed`` (which of ``of`` are asked for), and arguments of the operator.
        results: indices of the results that are differentiable.
    """

    of: tuple[str, ...]
    formula: Function
    results: tuple[int, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of what the formula asks for."""
        return tuple(inspect.signature(self.formula).parameters)


KERNELS: dict[str, Kernel] = {}
DERIVATIVES: dict[str, Derivative] = {}


def kernel(
    *names: str,
    shapes: Function | None = None,
    values_decide: bool = False,
    draws: bool = False,
    makes: bool = False,
    either: str = "",
) -> Callable[[Decorated], Decorated]:
    """Registers what the operators ``names`` compute.

    ``shapes`` stands in where the kernel itself cannot run on meta tensors; ``values_decide`` says that nothing can.
    The tensors that ``either`` names, separated by blanks, may be on the host.
    """

    def register(compute: Decorated) -> Decorated:
        for name in names:
            KERNELS[name] = Kernel(
                compute, None if values_decide else shapes or compute, draws, makes, tuple(either.split())
            )
        return compute

    return register


def derivative(*names: str, of: str, results: tuple[int, ...] = (0,)) -> Callable[[Decorated], Decorated]:
    """Registers the backward of the operators ``names`` for the arguments ``of`` (separated by blanks)."""

    def register(formula: Decorated) -> Decorated:
        for name in names:
            DERIVATIVES[name] = Derivative(tuple(of.split()), formula, results)
        return formula

    return register
