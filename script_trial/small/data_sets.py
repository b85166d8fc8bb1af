"""Data sets that a script loads by Hugging Face's datasets and that are not here: a few made-up rows."""

from __future__ import annotations

import functools
import os
import random
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.on_import import Then

ROWS = 8

_WORDS = "a small boat lay by the old harbour while seven birds sang of rain and nobody came to buy the fish".split()


def _text(words: int) -> Callable[[random.Random], str]:
    return lambda drawn: " ".join(drawn.choice(_WORDS) for _ in range(words)).capitalize() + "."


def _picture(side: int, mode: str) -> Callable[[random.Random], Any]:
    def draw(drawn: random.Random) -> Any:
        from PIL import Image

        return Image.frombytes(mode, (side, side), drawn.randbytes(side * side * len(mode)))

    return draw


#: By the end of an id, the columns: how each value is drawn, or the names of its classes.
_COLUMNS: dict[str, dict[str, Any]] = {
    "imdb": {"text": _text(40), "label": ["neg", "pos"]},
    "rotten_tomatoes": {"text": _text(15), "label": ["neg", "pos"]},
    "yelp_review_full": {"label": ["1 star", "2 star", "3 stars", "4 stars", "5 stars"], "text": _text(40)},
    "ag_news": {"text": _text(30), "label": ["World", "Sports", "Business", "Sci/Tech"]},
    "wikitext": {"text": _text(30)},
    "alpaca": {"instruction": _text(10), "input": _text(5), "output": _text(20), "text": _text(40)},
    "gsm8k": {"question": _text(20), "answer": _text(20)},
    "samsum": {"id": _text(1), "dialogue": _text(40), "summary": _text(10)},
    "mnist": {"image": _picture(28, "L"), "label": list("0123456789")},
    "cifar10": {"img": _picture(32, "RGB"), "label": [f"class {number}" for number in range(10)]},
}
_SPLITS = ("train", "validation", "test")


def hooks(trial: TrialOfAdapter) -> dict[str, Then]:
    """By the module to wait for, what is done when it has been imported."""

    def hook(spec: ModuleSpec) -> None:
        datasets: Any = sys.modules[spec.name]
        load = datasets.load_dataset

        @functools.wraps(load)
        def loaded(path: str, *args: Any, **keywords: Any) -> Any:
            here = os.path.exists(path) or (trial.started_in / path).exists()
            if here or keywords.get("data_files") is not None:
                return load(path, *args, **keywords)
            trial.note(f"{ROWS} made-up rows of {path}")
            return _made_up(path, keywords.get("split"), bool(keywords.get("streaming")))

        datasets.load_dataset = loaded
        datasets.Dataset.select = _of_those_that_are_there(datasets.Dataset.select, trial)

    return {"datasets": hook}


def _of_those_that_are_there(select: Any, trial: TrialOfAdapter) -> Any:
    """`Dataset.select`, of which a script asks for the first thousand rows, say."""

    @functools.wraps(select)
    def selected(rows: Any, indices: Any, *args: Any, **keywords: Any) -> Any:
        asked = list(indices)
        there = [index for index in asked if index < len(rows)]
        if len(there) < len(asked):
            trial.note(f"{len(there)} of the {len(asked):,} rows that are selected are there")
        return select(rows, there, *args, **keywords)

    return selected


def _made_up(path: str, split: Any, streams: bool) -> Any:
    from datasets import DatasetDict, IterableDatasetDict

    whole = {name: _rows(path, name) for name in _SPLITS}
    if split is None:
        streamed = {name: rows.to_iterable_dataset() for name, rows in whole.items()} if streams else {}
        return IterableDatasetDict(streamed) if streams else DatasetDict(whole)
    rows = whole.get(str(split).partition("[")[0], whole["train"])  # "train[:1%]"
    return rows.to_iterable_dataset() if streams else rows


def _rows(path: str, split: str) -> Any:
    from datasets import ClassLabel, Dataset, Features, Image, Value

    columns = _COLUMNS.get(path.rpartition("/")[2].lower())
    if columns is None:
        raise CannotMakeUp(
            f"the data set {path}, whose columns are not known: have it here, or load it from data_files"
        )
    drawn = random.Random(f"{path}/{split}")
    values = {
        name: [drawn.randrange(len(kind)) if isinstance(kind, list) else kind(drawn) for _ in range(ROWS)]
        for name, kind in columns.items()
    }
    features = {
        name: ClassLabel(names=kind) if isinstance(kind, list) else Value("string") for name, kind in columns.items()
    }
    features |= {name: Image() for name in ("image", "img") if name in columns}
    return Dataset.from_dict(values, features=Features(features))
