"""What a command launches: which script, by which launcher, with which options.

CUDA_VISIBLE_DEVICES=0 nohup accelerate launch --config_file c.yaml train.py --task sft > log 2>&1 &
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from porter.shell.command import RUN_ANOTHER, Command, Word
from porter.shell.values import UNKNOWN

_PYTHON = re.compile(r"python[\d.]*")
_TORCHRUN_MODULES = ("torch.distributed.run", "torch.distributed.launch")
_ACCELERATE_MODULES = ("accelerate.commands.launch",)

#: What scripts that train are called, and what other scripts are.
TRAINS = r"train|tune|distill|dreambooth|lora|sft"
_TRAINS = re.compile(TRAINS, re.IGNORECASE)
_DOES_NOT = re.compile(r"infer|valid|eval|test|sampl|generat|demo|predict|export|convert", re.IGNORECASE)
OPTIONS_OF_TRAINING = frozenset({"learning_rate", "lr", "num_epochs", "num_train_epochs", "max_train_steps"})


@dataclass(frozen=True)
class Launch:
    """A command that runs a Python script. `script` is its path, or None where only a run can tell.

    `options` are the words for the launcher, `arguments` those for the script.
    """

    command: Command
    launcher: str
    script: str | None
    options: Sequence[Word]
    arguments: Sequence[Word]

    @property
    def trains(self) -> bool:
        """Whether this launches a training, as far as its words say."""
        stem = os.path.splitext(os.path.basename(self.script or ""))[0]
        if OPTIONS_OF_TRAINING.intersection(name for name, _ in self.named_arguments()):
            return True
        if self.launcher in ("accelerate", "deepspeed"):
            return not _DOES_NOT.search(stem) or _TRAINS.search(stem) is not None
        return _TRAINS.search(stem) is not None and not _DOES_NOT.search(stem)

    def named_arguments(self) -> Iterator[tuple[str, str]]:
        """Each `--name value`, `--name=value` and `--name` of the script, without its dashes."""
        return named(self.arguments)

    def argument(self, name: str) -> str | None:
        """The value of an option of the script; None where it is not there."""
        return next((value for other, value in self.named_arguments() if other == name), None)

    def has(self, name: str) -> bool:
        return self.argument(name) is not None


def named(words: Sequence[Word]) -> Iterator[tuple[str, str]]:
    """Each option among words, with its value: the rest of its word, or the next word if that is none itself."""
    for index, word in enumerate(words):
        if word.text.startswith("--"):
            name, has_value, value = word.text[2:].partition("=")
            following = words[index + 1].text if index + 1 < len(words) else ""
            yield name, value if has_value else "" if following.startswith("--") else following


def launch_of(command: Command) -> Launch | None:
    """What a command launches; None for one that runs no Python script."""
    words = command.words
    at = _launcher(words)
    if at is None:
        return None
    launcher = os.path.basename(words[at].text)
    if launcher == "accelerate":
        return _by("accelerate", command, at + 2) if _text(words, at + 1) == "launch" else None
    if _PYTHON.fullmatch(launcher):
        return _by_python(command, at + 1)
    return _by(launcher.removesuffix("-launch"), command, at + 1)


def _launcher(words: Sequence[Word]) -> int | None:
    """Which word runs the script: the first, or one behind commands that run another."""
    for index, word in enumerate(words):
        name = os.path.basename(word.text)
        if name in ("accelerate", "accelerate-launch", "torchrun", "deepspeed") or _PYTHON.fullmatch(name):
            return index
        if not index and name not in RUN_ANOTHER:
            return None
    return None


def _by_python(command: Command, at: int) -> Launch | None:
    words = command.words
    while (option := _text(words, at)).startswith("-") and option not in ("-m", "-c", "-"):
        at += 2 if option in ("-X", "-W") else 1
    if option == "-m" and (module := _text(words, at + 1)) in (*_TORCHRUN_MODULES, *_ACCELERATE_MODULES):
        return _by("torchrun" if module in _TORCHRUN_MODULES else "accelerate", command, at + 2)
    if option == "-m":
        return Launch(command, "python", _module(_text(words, at + 1)), (), words[at + 2 :])
    if option in ("-c", "-", ""):
        return None
    return Launch(command, "python", _known(option), (), words[at + 1 :])


def _by(launcher: str, command: Command, begin: int) -> Launch:
    """The script is the first word that looks like one, or the module behind `-m`."""
    words = command.words
    for at in range(begin, len(words)):
        text = words[at].text
        if text.endswith(".py"):
            return Launch(command, launcher, text, words[begin:at], words[at + 1 :])
        if text in ("-m", "--module") and at + 1 < len(words):
            return Launch(command, launcher, _module(words[at + 1].text), words[begin:at], words[at + 2 :])
    return Launch(command, launcher, None, (), words[begin:])


def _text(words: Sequence[Word], at: int) -> str:
    return words[at].text if at < len(words) else ""


def _known(text: str) -> str | None:
    return text if text.endswith(".py") or UNKNOWN not in text else None


def _module(name: str) -> str | None:
    return name.replace(".", "/") + ".py" if re.fullmatch(r"[\w.]+", name) else None
