"""After each step of a generation: what its caller wants to see of it, and may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE
from diffsynth.diffusion.prompts import Texts, embedding_rows, padded

LATENTS = "latents"
EMBEDS = {"prompt_embeds": POSITIVE, "negative_prompt_embeds": NEGATIVE}

Callback = Callable[[Any, int, Tensor, dict[str, Tensor]], object]
"""diffusers' form: (pipeline, number of the step, timestep, tensors by name) -> those to go on with, by name, or None;
what it returns is checked."""


class StepState(NamedTuple):
    """What a generation carries from step to step: latents (N, C, ...), and the prompts."""

    latents: Tensor
    texts: Texts


class StepEnd:
    """Calls a callback, and takes what it returns.

    Args:
        callback: of the caller; None for no callback.
        tensor_inputs: names of the tensors that it is given.

    Raises:
        ValueError: a name is not one of these, or names come without a callback.
        TypeError: the callback cannot be called.
    """

    def __init__(self, callback: Callback | None, tensor_inputs: Sequence[str]) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(
                f"callback_on_step_end={callback!r}: expected a function (pipe, step, timestep, tensors) that returns "
                "a dict of the tensors to go on with"
            )
        if isinstance(tensor_inputs, str) or not set(tensor_inputs) <= {LATENTS, *EMBEDS}:
            raise ValueError(
                f"callback_on_step_end_tensor_inputs={tensor_inputs!r}: expected a list of "
                f"{', '.join((LATENTS, *EMBEDS))}"
            )
        self.callback = callback
        self.tensor_inputs = tuple(tensor_inputs)

    def __call__(self, pipe: object, index: int, timestep: Tensor, state: StepState) -> StepState:
        """What to go on with; unchanged parts are the very same objects.

        Raises:
            ValueError: the callback returns something that there is not, or a tensor of another shape.
        """
        if self.callback is None:
            return state
        returned = self.callback(pipe, index, timestep, self._shown(state))
        if returned is None:
            return state
        if not isinstance(returned, Mapping) or not set(returned) <= {LATENTS, *EMBEDS}:
            what = sorted(returned) if isinstance(returned, Mapping) else f"a {type(returned).__name__}"
            raise ValueError(
                f"callback_on_step_end returned {what}: expected a dict of {', '.join((LATENTS, *EMBEDS))}, or None"
            )
        return StepState(self._latents(returned, state), self._texts(returned, state))

    def _shown(self, state: StepState) -> dict[str, Tensor]:
        tensors = {}
        for name in self.tensor_inputs:
            if name == LATENTS:
                tensors[name] = state.latents
            elif EMBEDS[name] in state.texts:
                tensors[name] = padded(state.texts[EMBEDS[name]])[0]
        return tensors

    @staticmethod
    def _latents(returned: Mapping[str, object], state: StepState) -> Tensor:
        latents = returned.get(LATENTS, state.latents)
        if latents is state.latents:
            return state.latents
        if not isinstance(latents, Tensor) or latents.shape != state.latents.shape:
            found = tuple(latents.shape) if isinstance(latents, Tensor) else f"a {type(latents).__name__}"
            raise ValueError(
                f"callback_on_step_end returned latents of shape {found}: expected {tuple(state.latents.shape)}"
            )
        return latents.to(state.latents)

    def _texts(self, returned: Mapping[str, object], state: StepState) -> Texts:
        texts = dict(state.texts)
        for name, branch in EMBEDS.items():
            if name not in returned or branch not in texts:
                continue
            before, mask = padded(texts[branch])
            embeds = returned[name]
            same_shape = isinstance(embeds, Tensor) and embeds.shape == before.shape
            rows = embedding_rows(name, embeds, mask if same_shape else None, before.shape[2])
            if len(rows) != len(before):
                raise ValueError(f"callback_on_step_end returned {len(rows)} {name}: expected {len(before)}")
            if not (isinstance(embeds, Tensor) and same_shape and embeds.equal(before.to(embeds))):
                texts[branch] = [row.to(before) for row in rows]
        unchanged = all(texts[branch] is state.texts[branch] for branch in texts)
        return state.texts if unchanged else texts
