"""What the fused optimizers share: the tensors they combine, and a step over them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..utils.combine_tensors import get_part_combined_tensor, npu_combine_tensors

Group = dict[str, Any]
State = dict[str, Any]
Betas = tuple[float, float]
# What is kept twice, once for each of them, is in this order.
DTYPES = (torch.float32, torch.float16)


def check(name: str, value: float, fits: bool) -> None:
    """Raises ValueError for a value that does not fit."""
    if not fits:
        raise ValueError(f"Invalid {name}: {value}")


def check_rates(rates: dict[str, Any], betas: Betas | None = None) -> None:
    """Raises ValueError for a rate below 0, or a beta outside [0, 1)."""
    for name, rate in rates.items():
        if isinstance(rate, (int, float, Tensor)):  # a rate may be torch's mark for "required"
            check(name, float(rate), bool(rate >= 0))
    for index, beta in enumerate(betas or ()):
        check(f"beta parameter at index {index}", beta, 0 <= beta < 1)


class NpuFusedOptimizerBase(Optimizer):
    """Moves parameters and gradients into one tensor for each dtype when they first have gradients, and steps on those.

    torch_npu does not see a gradient that is replaced from then on, as ``model.zero_grad()`` does: here it is gathered
    again, with a warning. A parameter whose first gradient comes later is not moved, with a warning too.

    Attributes:
        params_all_group_combined: one tensor for float32, one for float16, or None each.
        grads_all_group_combined: the same of the gradients.
        combined_params_indexed_by_group: for each group its parts of them.
        combined_grads_indexed_by_group: the same of the gradients.
        combined_param_states_indexed_by_group: for each group and dtype the combined tensors of the state.
        params_lists_indexed_by_group: for each group the parameters of each dtype.
    """

    # What a checkpoint of an older version may lack in its groups.
    _group_defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, params: Iterable[Any], default: Group) -> None:
        super().__init__(params, default)
        self.combined_params_indexed_by_group: list[list[Tensor | None]] | None = None
        self.combined_grads_indexed_by_group: list[list[Tensor | None]] | None = None
        self.combined_param_states_indexed_by_group: list[list[State]] | None = None
        self.params_lists_indexed_by_group: list[list[list[Tensor]]] = []
        self.params_all_group_combined: list[Tensor | None] = [None, None]
        self.grads_all_group_combined: list[Tensor | None] = [None, None]
        self.is_params_grads_combined = False
        self.is_states_combined = False
        self.is_grads_masks_combined = False
        self.is_fused_optimizer = True
        # The gradients where they were combined.
        self._combined_grads: dict[Tensor, Tensor] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.is_states_combined = False
        for group in self.param_groups:
            for name, value in self._group_defaults.items():
                group.setdefault(name, value)

    def _new_state(self, group: Group, param: Tensor) -> State:
        """The state of a parameter before its first step."""
        raise NotImplementedError

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: State) -> None:
        """Moves one parameter; ``state["step"]`` counts this step already."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; returns what ``closure`` does, which is called without gradients, as on hardware.

        Raises:
            TypeError: a parameter is neither float32 nor float16.
            RuntimeError: one is not on an NPU or not contiguous, or its gradient is sparse.
            IndexError: a group was added after the parameters were combined.
        """
        loss = closure() if closure is not None else None
        self._step_groups()
        return loss

    def _step_groups(self) -> None:
        self._maybe_init_combined_params_and_grads()
        if len(self.param_groups) > len(self.params_lists_indexed_by_group):
            raise IndexError(f"{type(self).__name__}: add_param_group after a step or zero_grad; add all groups before")
        self._gather_replaced_gradients()
        self._maybe_init_combined_states()
        for index in range(len(self.param_groups)):
            self._group_step(index)

    def _group_step(self, group_index: int) -> None:
        group = self.param_groups[group_index]
        for params in self.params_lists_indexed_by_group[group_index]:
            for param in params:
                if param.grad is None:
                    continue
                state = self.state[param]
                if "step" in state:
                    state["step"] += 1
                self._update(group, param, self._combined_grads[param], state)

    @torch.no_grad()
    def zero_grad(self, set_to_none: bool = False) -> None:
        """Sets the gradients to zero.

        Raises:
            ValueError: they are to be dropped, which would take them out of the combined tensor.
        """
        if set_to_none:
            raise ValueError("set_to_none is not supported in fused optimizers")
        self._maybe_init_combined_params_and_grads()
        if not self.is_params_grads_combined:
            super().zero_grad(set_to_none=False)
        for combined in self.grads_all_group_combined:
            if combined is not None:
                combined.zero_()

    def get_combined_params(self) -> list[Tensor | None]:
        """All parameters in float32 as one tensor, and all in float16; None before the first step."""
        return self.params_all_group_combined

    def get_combined_grads(self) -> list[Tensor | None]:
        """All gradients in float32 as one tensor, and all in float16; None before the first step."""
        return self.grads_all_group_combined

    @torch.no_grad()
    def clip_grad_norm_fused_(self, max_norm: float, norm_type: float = 2) -> Tensor:
        """Scales all gradients so that their norm is at most ``max_norm``; returns the norm before.

        Raises:
            ValueError: no parameter has a gradient.
        """
        self._maybe_init_combined_params_and_grads()
        if not self.is_params_grads_combined:
            raise ValueError("clip_grad_norm_fused_: no parameter has a gradient; call it after backward")
        self._gather_replaced_gradients()
        self.combined_grads_masks = [
            None if grads is None else torch.ones_like(grads) for grads in self.grads_all_group_combined
        ]
        self.is_grads_masks_combined = True
        return clip(self.grads_all_group_combined, float(max_norm), float(norm_type))

    def _maybe_init_combined_params_and_grads(self) -> None:
        if self.is_params_grads_combined:
            return
        by_group = [self._by_dtype(group) for group in self.param_groups]
        param_sizes = [[_elements(params) for params in lists] for lists in by_group]
        grad_sizes = [[_elements([param.grad for param in params]) for params in lists] for lists in by_group]
        everything = [[param for lists in by_group for param in lists[index]] for index in range(len(DTYPES))]
        self.params_lists_indexed_by_group, self.params_all_group = by_group, everything
        grads = [[param.grad for param in params if param.grad is not None] for params in everything]
        self.params_all_group_combined = [npu_combine_tensors(params) for params in everything]
        self.grads_all_group_combined = [npu_combine_tensors(each) for each in grads]
        self.combined_params_indexed_by_group = _parts(self.params_all_group_combined, param_sizes)
        self.combined_grads_indexed_by_group = _parts(self.grads_all_group_combined, grad_sizes)
        for params in everything:
            self._combined_grads |= {param: param.grad.detach() for param in params if param.grad is not None}
        self.is_params_grads_combined = any(combined is not None for combined in self.params_all_group_combined)

    def _by_dtype(self, group: Group) -> list[list[Tensor]]:
        found: list[list[Tensor]] = [[] for _ in DTYPES]
        for param in group["params"]:
            if param.grad is None:
                continue
            if param.dtype not in DTYPES:
                raise TypeError(
                    f"Fused optimizer's parameters must be either float32 or float16, but received {param.dtype}"
                )
            if param.grad.is_sparse:
                raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
            found[DTYPES.index(param.dtype)].append(param)
        return found

    def _maybe_init_combined_states(self) -> None:
        if self.is_states_combined:
            return
        self.combined_param_states_indexed_by_group = [
            [self._combine_states(group, params) for params in lists]
            for group, lists in zip(self.param_groups, self.params_lists_indexed_by_group, strict=True)
        ]
        self.is_states_combined = self.is_params_grads_combined

    def _combine_states(self, group: Group, params: list[Tensor]) -> State:
        for param in params:
            if not self.state.get(param) and (state := self._new_state(group, param)):
                self.state[param] = state
        states = [self.state[param] for param in params if param in self.state]
        tensors = [name for name, value in states[0].items() if isinstance(value, Tensor)] if states else []
        return {name: npu_combine_tensors([state[name] for state in states]) for name in tensors}

    def _gather_replaced_gradients(self) -> None:
        replaced = False
        for param, combined in self._combined_grads.items():
            if param.grad is None:
                combined.zero_()
                replaced = True
            elif param.grad.data_ptr() != combined.data_ptr():
                combined.copy_(param.grad)
                param.grad.data = combined
                replaced = True
        if replaced:
            self._warn("a gradient was dropped or replaced after the gradients were combined", "step with the old one")
        if any(
            param.grad is not None and param not in self._combined_grads
            for group in self.param_groups
            for param in (group["params"] if self._combined_grads else ())
        ):
            self._warn("a parameter got its first gradient after the others were combined", "not move it either")

    def _warn(self, what: str, hardware: str) -> None:
        warnings.warn(
            f"{type(self).__name__}: {what}, and torch_npu would {hardware}; give every parameter a gradient before "
            "the first step, and use the optimizer's own zero_grad()",
            stacklevel=5,
        )


def clip(grads: Sequence[Tensor | None], max_norm: float, norm_type: float) -> Tensor:
    """Scales gradients so that their common norm is at most ``max_norm``; returns the norm before."""
    given = [grad for grad in grads if grad is not None]
    if not given:
        return torch.tensor(0.0)
    norms = torch.stack([torch.linalg.vector_norm(grad.float(), norm_type) for grad in given])
    total: Tensor = torch.linalg.vector_norm(norms, norm_type)
    scale = max_norm / (total + 1e-6)
    if scale < 1:
        for grad in given:
            grad.mul_(scale)
    return total


def _elements(tensors: Iterable[Tensor | None]) -> int:
    return sum(tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in tensors if tensor is not None)


def _parts(combined: list[Tensor | None], sizes: list[list[int]]) -> list[list[Tensor | None]]:
    """For each group its part of each combined tensor."""
    at, found = [0] * len(combined), []
    for group_sizes in sizes:
        found.append([get_part_combined_tensor(*each) for each in zip(combined, at, group_sizes, strict=True)])
        at = [start + size for start, size in zip(at, group_sizes, strict=True)]
    return found
