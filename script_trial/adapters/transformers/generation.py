"""`generate`, cut to a few tokens, with what it made kept as a result."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from script_trial.adapter import TrialOfAdapter

NEW_TOKENS = 8


def shorten_generation(trial: TrialOfAdapter) -> None:
    """Has every model make at most `NEW_TOKENS` tokens a call."""
    from transformers import GenerationMixin

    generate = GenerationMixin.generate

    @functools.wraps(generate)
    def shorter(model: Any, *args: Any, **keywords: Any) -> Any:
        shortened = _shortened(model, args, keywords)
        trial.note(f"{NEW_TOKENS} new tokens at most")
        with _logits_watched(model, trial), _drawn_alike(trial.noise_on_cpu):
            made = generate(model, *args, **shortened)
        trial.keep("generated tokens", _tokens(made).cpu().numpy())
        return made

    GenerationMixin.generate = shorter


@contextmanager
def _drawn_alike(on_cpu: bool) -> Iterator[None]:
    """Tokens are drawn from a seed, since a device's own random numbers go on from what it drew before."""
    import torch

    torch.manual_seed(0)
    multinomial: Any = torch.multinomial

    @functools.wraps(multinomial)
    def drawn_on_cpu(weights: Any, *args: Any, **keywords: Any) -> Any:
        return multinomial(weights.cpu(), *args, **keywords).to(weights.device)

    if on_cpu:
        torch.multinomial = drawn_on_cpu  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.multinomial = multinomial


def _shortened(model: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call that asks for no more tokens than there should be."""
    own = model.generation_config
    config = keywords.get("generation_config", args[1] if len(args) > 1 else None)
    asked = keywords.get("max_new_tokens", getattr(config, "max_new_tokens", None) or own.max_new_tokens)
    shorter = dict(keywords)
    if config is not None and "generation_config" in keywords:
        shorter["generation_config"] = _without_lengths(config)
    shorter["max_new_tokens"] = min(asked or NEW_TOKENS, NEW_TOKENS)
    shorter.pop("max_length", None)
    for name in ("min_new_tokens", "min_length"):
        if shorter.get(name) is not None:
            shorter[name] = min(shorter[name], NEW_TOKENS)
    return shorter


def _without_lengths(config: Any) -> Any:
    config = copy.copy(config)
    config.max_new_tokens, config.min_new_tokens = NEW_TOKENS, None
    return config


def _tokens(made: Any) -> Any:
    return made if hasattr(made, "cpu") else made.sequences


@contextmanager
def _logits_watched(model: Any, trial: TrialOfAdapter) -> Iterator[None]:
    """Keeps logits that are NaN, the first of a call: the token that is chosen from them does not tell."""
    import torch

    def look(module: Any, inputs: Any, output: Any) -> None:
        logits = getattr(output, "logits", None)
        if isinstance(logits, torch.Tensor) and bool(torch.isnan(logits).any()):
            hook.remove()
            trial.keep("logits", logits.detach().float().cpu().numpy())

    hook = model.register_forward_hook(look)
    try:
        yield
    finally:
        hook.remove()
