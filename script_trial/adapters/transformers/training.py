"""`Trainer`, cut to a few updates on a few samples, with the loss of each kept."""

from __future__ import annotations

import functools
from typing import Any

from script_trial.adapter import TrialOfAdapter

UPDATES = 3
SAMPLES_OF_A_BATCH = 2
BATCHES_OF_AN_UPDATE = 2
EVALUATED = 4  # samples

# What differs from run to run.
_NO_RESULTS = ("runtime", "per_second", "flos", "epoch", "num_input_tokens")


def shorten_training(trial: TrialOfAdapter) -> None:
    """Has every `Trainer` make at most `UPDATES` updates."""
    from transformers import Trainer

    init, log, step = Trainer.__init__, Trainer.log, Trainer.training_step

    @functools.wraps(init)
    def shorter(trainer: Any, model: Any = None, args: Any = None, *more: Any, **keywords: Any) -> None:
        if args is not None:
            _shorten(args)
            trial.note(f"{UPDATES} updates, {SAMPLES_OF_A_BATCH} samples in a batch, {EVALUATED} to evaluate")
        if keywords.get("eval_dataset") is not None:
            keywords["eval_dataset"] = _few(keywords["eval_dataset"])
        init(trainer, model, args, *more, **keywords)

    @functools.wraps(log)
    def listened(trainer: Any, logs: dict[str, Any], *more: Any, **keywords: Any) -> None:
        numbers = {
            name: float(value)
            for name, value in logs.items()
            if isinstance(value, (int, float)) and not any(part in name for part in _NO_RESULTS)
        }
        if numbers:
            trial.log(numbers, trainer.state.global_step)
        log(trainer, logs, *more, **keywords)

    @functools.wraps(step)
    def drawn_alike(trainer: Any, *args: Any, **keywords: Any) -> Any:
        import torch

        # On the host the same generator also shuffles samples: what a step draws must be none of those numbers.
        samples = torch.get_rng_state()
        torch.manual_seed(trainer.args.seed + trainer.state.global_step)
        try:
            return step(trainer, *args, **keywords)
        finally:
            torch.set_rng_state(samples)

    Trainer.__init__, Trainer.log, Trainer.training_step = shorter, listened, drawn_alike


def _shorten(args: Any) -> None:
    """Changes a `TrainingArguments`."""
    args.max_steps = min(args.max_steps, UPDATES) if args.max_steps > 0 else UPDATES
    args.logging_steps = 1
    args.per_device_train_batch_size = min(args.per_device_train_batch_size, SAMPLES_OF_A_BATCH)
    args.per_device_eval_batch_size = min(args.per_device_eval_batch_size, SAMPLES_OF_A_BATCH)
    args.gradient_accumulation_steps = min(args.gradient_accumulation_steps, BATCHES_OF_AN_UPDATE)
    for name in ("eval_steps", "save_steps"):
        if getattr(args, name, None) and getattr(args, name) > UPDATES:
            setattr(args, name, UPDATES)
    args.dataloader_num_workers = 0
    args.report_to = []
    args.push_to_hub = False


def _few(dataset: Any) -> Any:
    """The first samples of a data set to evaluate on, or of each of several."""
    if isinstance(dataset, dict):
        return {name: _few(one) for name, one in dataset.items()}
    if hasattr(dataset, "select"):
        return dataset.select(range(min(EVALUATED, len(dataset))))
    if hasattr(dataset, "__len__"):
        from torch.utils.data import Subset

        return Subset(dataset, range(min(EVALUATED, len(dataset))))
    return dataset
