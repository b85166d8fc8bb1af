"""What the tables of model families say of the launch of a training: its series, their options, how it fits in memory.

One file a family, `accelerator_tables/families/NAME.json`, found by being there. Which model a launch trains is told
from the model ids and paths on its command line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from porter.shell.launch import Launch
from porter.shell.values import UNKNOWN
from porter.tables import read_table, tables_in

#: What is next to the model that is trained, and often another family's: text encoders, VAEs, tokenizers.
_BESIDE = re.compile(
    r"(?:^|/)(?:text_encoder|vae|tokenizer|processor|image_encoder|google|models_t5|models_clip|wav2vec|ae\.)|vae\.",
    re.IGNORECASE,
)

#: One stage of a training that is split in two already.
_STAGE = re.compile(r".*:(?:data_process|train)")


@dataclass(frozen=True)
class Option:
    """An option that trainings of a series need. `trains`: "full" or "lora" alone; None: both."""

    split_training: bool
    trains: str | None = None


@dataclass(frozen=True)
class Series:
    """Models of one kind: those whose id or path holds `models`."""

    name: str
    models: re.Pattern[str]
    options: dict[str, Option]


@dataclass(frozen=True)
class Strategy:
    """How trainings of some models fit into an NPU's memory.

    Attributes:
        models: the id of the model holds it.
        trains: "full" or "lora".
        strategy: "zero2offload" or "zero3", configurations of accelerate by the end of their names, or "split".
        because: the reason, as the comment in the script gives it.
    """

    models: re.Pattern[str]
    trains: str
    strategy: str
    because: str


@cache
def all_series() -> tuple[Series, ...]:
    return tuple(
        Series(
            one["name"],
            re.compile(one["models"], re.IGNORECASE),
            {name: Option(**option) for name, option in one["options"].items()},
        )
        for family in _families()
        for one in family["series"]
    )


@cache
def all_strategies() -> tuple[Strategy, ...]:
    return tuple(
        Strategy(re.compile(one["models"], re.IGNORECASE), one["trains"], one["strategy"], one["because"])
        for family in _families()
        for one in family["memory"]
    )


@cache
def _families() -> tuple[dict, ...]:  # type: ignore[type-arg]
    return tuple(read_table(f"families/{name}.json") for name in tables_in("families"))


def series_of(launch: Launch) -> list[Series]:
    """The series of the models that are trained."""
    return [one for one in all_series() if any(one.models.search(model) for model in _models(launch))]


def strategy_of(launch: Launch) -> Strategy | None:
    """How a training fits into memory, where the table knows better than its launch."""
    if not launch.trains or (kind := kind_of(launch)) is None:
        return None
    models = [*_models(launch)]
    fitting = (one for one in all_strategies() if one.trains == kind and any(map(one.models.search, models)))
    return next(fitting, None)


def kind_of(launch: Launch) -> str | None:
    """Whether a launch trains a LoRA or the whole network; None where its options tell neither."""
    return "lora" if launch.has("lora_base_model") else "full" if launch.has("trainable_models") else None


def is_a_stage(launch: Launch) -> bool:
    """Whether it is one of the two steps of a split training."""
    return _STAGE.fullmatch(launch.argument("task") or "") is not None


def cannot_tell(launch: Launch) -> bool:
    """Whether the models depend on what only a run can tell, such as an argument of the script."""
    return not series_of(launch) and any(UNKNOWN in value.partition(":")[0] for value in model_ids(launch))


def model_ids(launch: Launch) -> list[str]:
    """`--model_id_with_origin_paths ID:PATTERN,ID:PATTERN`."""
    return (launch.argument("model_id_with_origin_paths") or "").split(",")


def is_beside(entry: str) -> bool:
    """Whether an entry of that list is no network that is trained."""
    return _BESIDE.search(entry.partition(":")[2]) is not None


def _models(launch: Launch) -> Iterator[str]:
    """The ids and paths of what is trained."""
    yield from (entry.partition(":")[0] for entry in model_ids(launch) if not is_beside(entry))
    for path in re.findall(r"[^\s\[\]\"',]+", launch.argument("model_paths") or ""):
        folder, _, name = path.rpartition("/")
        if not _BESIDE.search(name) and not _BESIDE.search(folder.rpartition("/")[2]):
            yield path
