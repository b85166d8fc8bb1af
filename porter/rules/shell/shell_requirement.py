"""
# DP410 shell-requirement: packages made for CUDA that a script installs

## What it does

Reports what `pip install`, `uv pip install` and `conda install` are given that is made for CUDA, with what does its
work; indexes of builds for CUDA, and conda's channel nvidia (error, warning).

## Why

The installation fails, or brings a torch that knows no other device than CUDA.

## Before

    pip install torch --index-url https://download.pytorch.org/whl/cu121
    conda install pytorch-cuda=12.1 -c pytorch -c nvidia

## What to write instead

    pip install torch==2.12.0 torch-npu==2.12.0.post3
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.required_packages import judged, judged_index
from porter.rules.rule import Rule
from porter.shell.command import PRINTING, Command
from porter.shell.script import ShellScript
from porter.text_unit import TextUnit
from porter.unit import Found

_INSTALLERS = frozenset("pip pip3 conda mamba micromamba uv pixi".split())

#: Options whose value is no package.
_TAKE_A_VALUE = frozenset(
    """-r --requirement -c --constraint --channel -n --name -p --prefix -i --index-url --extra-index-url -f --find-links
    -t --target -e --editable --platform --python-version --root --cache-dir --file --override-channels""".split()
)

RULE = Rule(
    "DP410",
    "shell-requirement",
    __doc__,
    words=("install", "add", "create"),
    fixes=False,
    language="shell",
)


@RULE.on(Command)
def report_the_package(command: Command, unit: TextUnit[ShellScript]) -> Iterator[Found]:
    texts, target = command.texts, unit.translation.new.name
    at = next((index for index, text in enumerate(texts) if text in ("install", "add", "create")), None)
    if at is None or command.name in PRINTING or not any(text.rpartition("/")[2] in _INSTALLERS for text in texts[:at]):
        return
    for before, word in zip(command.words[at:], command.words[at + 1 :], strict=False):
        if before.text in ("-c", "--channel") and word.text == "nvidia":
            message = "this channel holds CUDA's own libraries"
            yield unit.report(RULE.code, "error", (word.start, word.end), message, "leave it out")
        elif found := judged_index(word.text, target):
            yield unit.report(RULE.code, found.severity, (word.start, word.end), found.message, found.way_out)
        elif not word.text.startswith("-") and before.text not in _TAKE_A_VALUE:
            found = judged(word.text, target)
            if found is not None and found.severity != "note":
                yield unit.report(RULE.code, found.severity, (word.start, word.end), found.message, found.way_out)
