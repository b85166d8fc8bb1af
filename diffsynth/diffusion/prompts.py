"""What the results of one call are to show: prompts, or embeddings of prompts, and how many results each one gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffsynth.core.caller import check_whole
from diffsynth.diffusion.guidance import NEGATIVE, POSITIVE

Texts = dict[str, Sequence[Tensor]]
"""By text branch, the embedded prompt of each result, (L, dim). Results of one prompt have the very same tensor."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a call.

    Attributes:
        branches: by text branch, one for each prompt: itself, or its embedding (L, dim).
        per_prompt: results of each. Those of the first prompt come first.
        single: whether the caller asks for one result, rather than for a list of them.
    """

    branches: dict[str, list[str | Tensor]]
    per_prompt: int
    single: bool

    @property
    def count(self) -> int:
        """How many results there will be."""
        return len(self.branches[POSITIVE]) * self.per_prompt

    @property
    def encoded_already(self) -> bool:
        """Whether all are embeddings."""
        return all(isinstance(one, Tensor) for branch in self.branches.values() for one in branch)

    def embedded(self, encode: Callable[[str], Tensor]) -> Texts:
        """The embedding that each result has, by branch. `encode` makes (L, dim) of a prompt, once of each."""
        prompts = dict.fromkeys(one for given in self.branches.values() for one in given if isinstance(one, str))
        known = {prompt: encode(prompt) for prompt in prompts}
        rows = {
            branch: [known[one] if isinstance(one, str) else one for one in given]
            for branch, given in self.branches.items()
        }
        return {branch: [row for row in given for _ in range(self.per_prompt)] for branch, given in rows.items()}


def given_embeddings(asked: Mapping[str, Any], dim: int, device: torch.device) -> dict[str, list[Tensor]]:
    """The embeddings among a call's keywords, by text branch: one (L, dim) for each prompt, on the device.

    Raises:
        ValueError: a tensor is of another shape, or a mask comes without what it masks.
    """
    found = {}
    for branch, name in ((POSITIVE, "prompt_embeds"), (NEGATIVE, "negative_prompt_embeds")):
        embeds, mask = asked[name], asked.get(f"{name}_mask")
        if embeds is not None:
            found[branch] = [row.to(device) for row in embedding_rows(name, embeds, mask, dim)]
        elif mask is not None:
            raise ValueError(f"{name}_mask goes with {name}, and none were given")
    return found


def asked_prompts(
    prompt: str | Sequence[str] | None,
    negative_prompt: str | Sequence[str] | None,
    embeddings: Mapping[str, list[Tensor]],
    *,
    guided: bool,
    per_prompt: tuple[str, int],
) -> Prompts:
    """The prompts of a call as its caller gives them, one or several.

    Args:
        prompt, negative_prompt: None or empty where embeddings are given.
        embeddings: those given, by branch.
        guided: whether the negative branch is needed.
        per_prompt: the keyword that says how many results a prompt gets, and its value.

    Raises:
        ValueError: something is no prompt, is given twice, or there are as many negative ones as fit nothing.
    """
    check_whole(*per_prompt)
    positive = _of_branch("prompt", prompt, embeddings.get(POSITIVE))
    branches = {POSITIVE: positive}
    negative = _of_branch("negative_prompt", negative_prompt, embeddings.get(NEGATIVE))
    if len(negative) not in (1, len(positive)):
        raise ValueError(
            f"there are {len(negative)} negative prompts, and {len(positive)} prompts: expected one for all, or one "
            "for each"
        )
    if guided:
        branches[NEGATIVE] = negative * len(positive) if len(negative) == 1 else negative
    single = (prompt is None or isinstance(prompt, str)) and len(positive) == 1 and per_prompt[1] == 1
    return Prompts(branches, per_prompt[1], single)


def _of_branch(name: str, prompt: object, embeddings: list[Tensor] | None) -> list[str | Tensor]:
    if embeddings is not None:
        if prompt is None or prompt == "":
            return list(embeddings)
        raise ValueError(f"{name} and {name}_embeds are both given: leave one of them out")
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, Sequence) or not prompt:
        raise ValueError(f"{name}={prompt!r}: expected a string, or a list of them")
    for number, one in enumerate(prompt):
        if not isinstance(one, str):
            raise ValueError(f"{name} {number} of the list is a {type(one).__name__}: expected a string")
    return list(prompt)


def embedding_rows(name: str, embeds: object, mask: object, dim: int) -> list[Tensor]:
    """Embeddings (prompts, L, dim), one (L, dim) for each prompt, without what a mask (prompts, L) says is padding.

    Raises:
        ValueError: one of them is no such tensor, or nothing is left of a prompt; the message calls it `name`.
    """
    shape = f"of shape {tuple(embeds.shape)}" if isinstance(embeds, Tensor) else f"a {type(embeds).__name__}"
    if not isinstance(embeds, Tensor) or embeds.ndim != 3 or embeds.shape[2] != dim or not embeds.numel():
        raise ValueError(f"{name} is {shape}: expected a tensor (prompts, tokens, {dim})")
    if mask is None:
        return list(embeds)
    if not isinstance(mask, Tensor) or mask.shape != embeds.shape[:2]:
        found = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name}_mask is {found}: expected {tuple(embeds.shape[:2])}, as {name} {shape} has")
    rows = [row[kept.bool()] for row, kept in zip(embeds, mask.to(embeds.device), strict=True)]
    if not all(len(row) for row in rows):
        raise ValueError(f"{name}_mask leaves nothing of a prompt: expected 1 for every token that is no padding")
    return rows


def together(rows: Sequence[Tensor]) -> Tensor:
    """Embeddings of equal length as one tensor: (1, L, dim) where all are the very same, else one for each."""
    if all(row is rows[0] for row in rows):
        return rows[0].unsqueeze(0)
    return torch.stack(list(rows))


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Embeddings of any length as one tensor (N, longest, dim), and a mask (N, longest) of what is no padding; None
    where there is none."""
    longest = max(len(row) for row in rows)
    embeds = torch.stack([torch.nn.functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
    if all(len(row) == longest for row in rows):
        return embeds, None
    lengths = torch.tensor([len(row) for row in rows], device=embeds.device)
    return embeds, (torch.arange(longest, device=embeds.device) < lengths.unsqueeze(1)).long()


def of_each_length(rows: Sequence[Tensor]) -> list[list[int]]:
    """The numbers of the results whose embeddings are equally long: those can be computed as one batch."""
    groups: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(len(row), []).append(number)
    return list(groups.values())
