"""
# DP419 memory-strategy: trainings that need another way to fit into an NPU's memory

## What it does

Writes the launch of a training as the NPU script that is published for its model has it, where
`accelerator_tables/families/` says that this differs from the GPU script, and puts the reason above it as a comment:

- another configuration of accelerate, `accelerate_config_zero2offload.yaml` or `accelerate_config_zero3.yaml`, where
  one lies beside the one that is named, or in the folder `full` beside the launched script: FLUX.1-dev and
  FLUX.1-Kontext-dev (ZeRO-2 with the optimizer in host memory), Qwen-Image-Edit-2509 (ZeRO-3), a LoRA of FLUX.2-dev
  (ZeRO-3);
- two launches for one, `--task "sft:data_process"` and `--task "sft:train"`: a LoRA of Qwen-Image or of
  Qwen-Image-Edit-2509.

Where that cannot be done, it is reported, and the launch stays as it is.

## Why

The NPU scripts that DiffSynth-Studio publishes for these models train them so, and their GPU scripts do not: it takes
less memory on each device. Those of the two LoRAs give the reason; the other reasons here are what the change is for.

## Before

    accelerate launch --config_file examples/qwen_image/model_training/full/accelerate_config_zero2offload.yaml \\
      examples/qwen_image/model_training/train.py \\
      --model_id_with_origin_paths "Qwen/Qwen-Image-Edit-2509:transformer/diffusion_pytorch_model*.safetensors" \\
      --trainable_models "dit"

## After

    export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True
    export CPU_AFFINITY_CONF=1

    # ZeRO-3 shares out the weights too: with the pictures to edit beside them, a whole copy leaves too little.
    accelerate launch --config_file examples/qwen_image/model_training/full/accelerate_config_zero3.yaml \\
      examples/qwen_image/model_training/train.py \\
      --model_id_with_origin_paths "Qwen/Qwen-Image-Edit-2509:transformer/diffusion_pytorch_model*.safetensors" \\
      --trainable_models "dit" \\
      --initialize_model_on_cpu
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from porter.findings import Edit
from porter.rules.rule import Rule
from porter.shell.command import Word
from porter.shell.families import Strategy, is_a_stage, strategy_of
from porter.shell.launch import Launch
from porter.shell.script import ShellScript
from porter.shell.script_file import find_script
from porter.shell.script_options import options_of
from porter.shell.split_training import cannot_split, split
from porter.text_unit import TextUnit, replaced
from porter.unit import Found

RULE = Rule(
    "DP419",
    "memory-strategy",
    __doc__,
    words=("model_id_with_origin_paths", "model_paths"),
    targets=frozenset({"npu"}),
    language="shell",
)

_CONFIG = re.compile(r"(?:.*/)?accelerate_config\w*\.yaml")


@RULE.on(Launch)
def fit_into_memory(launch: Launch, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    if unit.translation.undoes or (strategy := strategy_of(launch)) is None:
        return
    if strategy.strategy == "split":
        if not is_a_stage(launch):
            yield _in_two(launch, strategy, unit)
    else:
        yield from _by_configuration(launch, strategy, unit)


def _in_two(launch: Launch, strategy: Strategy, unit: TextUnit[ShellScript]) -> Found:
    command, source = launch.command, unit.source
    span = (command.start, command.end)
    obstacle = cannot_split(launch) or _lacks_the_tasks(launch, unit)
    if not obstacle and _indent(launch, unit) is None:
        obstacle = "the command does not stand on lines of its own"
    if obstacle:
        way_out = "encode by --task sft:data_process first, then train by --task sft:train"
        return unit.report(RULE.code, "note", span, f"the training was not split in two: {obstacle}", way_out)
    encodes, trains = split(launch)
    between = f"{source.newline}{source.newline}{_indent(launch, unit)}"
    parts = (*_reason(strategy, launch, unit), *encodes, between, *trains)
    message = "the training is split in two: the data set is encoded once, then trained on without the encoders"
    return unit.fix(RULE.code, span, message, Edit(*span, "", parts))


def _lacks_the_tasks(launch: Launch, unit: TextUnit[ShellScript]) -> str:
    path = _launched(launch, unit)
    if path is None:
        return "the script that it launches was not found"
    options = options_of(path)
    return (
        f"{os.path.basename(path)} does not know --task" if options.is_complete and "task" not in options.valued else ""
    )


def _by_configuration(launch: Launch, strategy: Strategy, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    """Nothing is said of a launch that names a configuration of its author's own."""
    if launch.launcher != "accelerate" or (_is_encoding(launch)):
        return
    span = (launch.command.start, launch.command.end)
    name = f"accelerate_config_{strategy.strategy}.yaml"
    given = _configuration(launch)
    if given is not None and (given.text.endswith(f"/{name}") or not _CONFIG.fullmatch(given.text)):
        return
    new = _place_of(name, given, launch, unit)
    if new is None:
        way_out = f"launch it by a configuration of accelerate like that ({strategy.because})"
        yield unit.report(RULE.code, "note", span, f"{name} was not found, so the launch goes by another", way_out)
        return
    if given is not None:
        place, text = (given.start, given.end), new
    else:
        launcher = next(word for word in launch.command.words if word.text in ("launch", "accelerate-launch"))
        place, text = (launcher.end, launcher.end), f" --config_file {new}"
    message = f"the training goes by {name}"
    yield unit.fix(RULE.code, span, message, *_comment(strategy, launch, unit), replaced(place, text))


def _is_encoding(launch: Launch) -> bool:
    return (launch.argument("task") or "").endswith(":data_process")


def _configuration(launch: Launch) -> Word | None:
    """The word that names the configuration."""
    pairs = zip(launch.options, launch.options[1:], strict=False)
    return next((word for option, word in pairs if option.text == "--config_file"), None)


def _place_of(name: str, given: Word | None, launch: Launch, unit: TextUnit[ShellScript]) -> str | None:
    """The configuration of that name, as the script would say it: it has to be there."""
    if given is not None:
        path = f"{given.text.rpartition('/')[0]}/{name}" if "/" in given.text else name
        is_plain = given.is_written_out and re.fullmatch(r"[\w./-]+", path) is not None
    else:
        path = f"{(launch.script or '').rpartition('/')[0] or '.'}/full/{name}"
        is_plain = re.fullmatch(r"[\w./-]+", path) is not None
    if not is_plain:
        return None
    return path if find_script(path, unit.source.path, unit.source.folder_at(launch.command.start)) else None


def _launched(launch: Launch, unit: TextUnit[ShellScript]) -> str | None:
    if launch.script is None:
        return None
    return find_script(launch.script, unit.source.path, unit.source.folder_at(launch.command.start))


def _comment(strategy: Strategy, launch: Launch, unit: TextUnit[ShellScript]) -> list[Edit]:
    """The reason above the command. It goes with the command's beginning, behind what others add before that."""
    command = launch.command
    begin = (command.start, command.words[0].end)
    reason = _reason(strategy, launch, unit)
    return [Edit(*begin, "", (*reason, begin))] if reason else []


def _reason(strategy: Strategy, launch: Launch, unit: TextUnit[ShellScript]) -> tuple[str, ...]:
    """The comment and what stands before the command again; nothing for a command that does not begin its line."""
    indent = _indent(launch, unit)
    return () if indent is None else (f"# {strategy.because}.{unit.source.newline}{indent}",)


def _indent(launch: Launch, unit: TextUnit[ShellScript]) -> str | None:
    """What stands before a command on its line, if that is blank and no line goes on in it."""
    source, start = unit.source, launch.command.start
    begin = source.line_starts[source.line_of(start) - 1]
    before = source.piece(begin, start)
    goes_on = source.data[:begin].rstrip(b"\r\n").endswith(b"\\") or source.data[launch.command.end :].lstrip(b" \t\r")[
        :1
    ] not in (b"", b"\n", b"#")
    return None if before.strip() or goes_on else before
