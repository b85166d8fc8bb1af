"""A training of one launch, written as two: encode the data set once, then train without the encoders.

What the first launch needs not, it is not told; the second reads what the first wrote, and knows no other data.
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.shell.command import Word
from porter.shell.families import is_a_stage, is_beside, model_ids, strategy_of
from porter.shell.launch import Launch
from porter.shell.values import HERE, UNKNOWN

_MODELS = "model_id_with_origin_paths"
_DATA = "dataset_base_path"

#: What only a training reads.
_OF_TRAINING = frozenset(
    """learning_rate weight_decay num_epochs remove_prefix_in_ckpt trainable_models use_gradient_checkpointing
    use_gradient_checkpointing_offload find_unused_parameters gradient_accumulation_steps save_steps dataset_repeat
    dataset_num_workers lora_base_model lora_target_modules lora_rank lora_checkpoint""".split()
)

#: What says where samples are, and what is read of them.
_OF_DATA = frozenset("dataset_metadata_path data_file_keys extra_inputs height width num_frames".split())

Option = tuple[str, str, int, int, Word | None]
"""Its name, its value, the bytes from the word before it to its end, and the word that is its value."""


def cannot_split(launch: Launch) -> str:
    """Why a launch cannot be written as two; empty if it can."""
    if launch.argument("task") not in (None, "sft"):
        return f"--task {launch.argument('task')} is no plain training"
    entries = model_ids(launch)
    if not any(map(is_beside, entries)) or all(map(is_beside, entries)):
        return "the models in it are not both encoders and what is trained"
    for name in (_MODELS, _DATA, "output_path"):
        value = launch.argument(name)
        if not value or UNKNOWN in value or HERE in value:
            return f"--{name} is known when the script runs"
        if not any(one == name and word is not None and word.is_written_out for one, _, _, _, word in _options(launch)):
            return f"--{name} is not written out"
    return ""


Parts = tuple[str | tuple[int, int], ...]
"""A text put together from new text, and from bytes of the script as they are once changed."""


def is_to_be_split(launch: Launch) -> bool:
    """Whether the port writes it as two."""
    strategy = strategy_of(launch)
    return strategy is not None and strategy.strategy == "split" and not is_a_stage(launch) and not cannot_split(launch)


def split(launch: Launch) -> tuple[Parts, Parts]:
    """The command that encodes, and the one that trains."""
    entries, cache = model_ids(launch), f"{(launch.argument('output_path') or '').rstrip('/')}_split_cache"
    beside = ",".join(entry for entry in entries if is_beside(entry))
    trained = ",".join(entry for entry in entries if not is_beside(entry))
    encoding = {_MODELS: beside, "output_path": cache}
    training = {_MODELS: trained, _DATA: cache}
    return (
        _told(launch, encoding, _OF_TRAINING, "sft:data_process"),
        _told(launch, training, _OF_DATA, "sft:train"),
    )


def _told(launch: Launch, values: dict[str, str], without: frozenset[str], task: str) -> Parts:
    """The command with other values of some options, without others, and with a task."""
    pieces: list[str | tuple[int, int]] = []
    at = launch.command.start
    for name, _, begin, end, word in _options(launch):
        if name in without or name == "task":
            pieces.append((at, begin))
            at = end
        elif name in values and word is not None:
            pieces += [(at, word.start), f'"{values[name]}"']
            at = word.end
    return (*pieces, (at, launch.command.end), f'{launch.command.separator}--task "{task}"')


def _options(launch: Launch) -> Iterator[Option]:
    """The options of the launched script, in order. One whose value is in its own word (`--x=1`) has no word for it."""
    words = launch.command.words
    for index, word in enumerate(words):
        if not word.text.startswith("--") or word not in launch.arguments:
            continue
        name, has_value, value = word.text[2:].partition("=")
        following = words[index + 1] if index + 1 < len(words) else None
        if has_value or following is None or following.text.startswith("--"):
            yield name, value, words[index - 1].end, word.end, None
        else:
            yield name, following.text, words[index - 1].end, following.end, following
