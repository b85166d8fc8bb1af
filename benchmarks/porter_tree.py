"""A tree of scripts as people write them for CUDA, made from a seed: what the porter's speed is measured on.

    python -m benchmarks.porter_tree FOLDER [--seed 0] [--count 700]

Prints how large the tree is, how many distinct statements of it have to be rewritten, and how often each form of
naming a device stands in it.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from textwrap import indent

from benchmarks.script_sections import NEGATIVE_PROMPTS, PROMPTS, SECTIONS, WORDS, Section

#: Sizes of scripts in bytes. Their logarithm is normally distributed about the middle one, as in public trees.
SMALLEST, MIDDLE, LARGEST = 1_000, 2_700, 12_000

#: Of a hundred scripts, how many say nothing of devices, lack the last newline, end lines with CRLF, open with a BOM.
WITHOUT_DEVICES, WITHOUT_LAST_NEWLINE, WITH_CRLF, WITH_BOM = 5, 7, 2, 1

#: How often a section that says nothing of devices is dealt while one that does is dealt once. With 3, the tree holds
#: "cuda" three times in 1,000 bytes; public trees of example scripts hold it once.
QUIET = 3

#: The smallest and the largest example, in bytes, and what an example of this repository usually takes.
EXAMPLES = (1_000, 4_000)
_USUAL = 1_500

_OWN_EXAMPLES = Path(__file__).parents[1] / "examples"

_FOLDERS = ("inference", "inference_low_vram", "training", "evaluation", "tools")
_DEVICE = re.compile("cuda|nccl|npu", re.IGNORECASE)
_STRING = r"""["']cuda(?::\d+)?["']"""

#: Every form of naming a device that has to be rewritten, as it looks within one statement.
FORMS = {
    name: re.compile(pattern, re.DOTALL)
    for name, pattern in {
        "device string, keyword": rf"\w=(?:\w+\.device\()?{_STRING}",
        "device string, positional": rf"\(\[?(?:\"vae\", )?{_STRING}|, {_STRING}[,)]",
        "device string, dict value": rf"[\"']: {_STRING}",
        "device string, assignment": rf"^\w+ = {_STRING}",
        "device string, argparse default": rf"add_argument\(.*default={_STRING}",
        "device string, argparse choices": rf"add_argument\(.*choices=\[{_STRING}",
        "device string, click default": rf"click\.option\(.*default={_STRING}",
        "device string, click choice": rf"click\.Choice\(\[{_STRING}",
        "device string, conditional expression": rf"{_STRING} if | else {_STRING}",
        "device f-string": r"""f["']cuda:\{""",
        "device string put together": r'"cuda:" \+|"cuda:%d" %|"cuda:\{\}"\.format',
        "comparison": rf"[!=]= {_STRING}|startswith\(.cuda.\)",
        "in (...)": rf" in \({_STRING}",
        "function default": rf"def \w+\(.*=({_STRING})",
        'mem_get_info("cuda")': r'torch\.cuda\.mem_get_info\("cuda"\)',
        "mem_get_info of another argument": r'\.cuda\.mem_get_info\((?!"cuda"\))',
        "torch.cuda.X": r"\btorch\.cuda\.\w",
        "torch.cuda.X, torch as th": r"\bth\.cuda\.\w",
        "torch.cuda.X, from torch import cuda": r"^from torch import cuda$|(?<![.\w])cuda\.\w",
        "torch.cuda.X, from torch.cuda.amp": r"^from torch\.cuda\.amp import autocast, GradScaler$",
        "CUDAGraph": r"\.cuda\.CUDAGraph\b",
        ".cuda()": r"\.cuda\(\)",
        ".cuda(0, non_blocking=True)": r"\.cuda\(0, non_blocking=True\)",
        ".is_cuda": r"\.is_cuda\b",
        '"nccl"': r'"nccl"',
        '"cpu:gloo,cuda:nccl"': r'"cpu:gloo,cuda:nccl"',
        "environment variable, set": r'os\.environ\["CUDA_\w+"\] =|os\.environ\.setdefault\("PYTORCH_CUDA_ALLOC_CONF"',
        "environment variable, read": r'os\.environ\.get\("CUDA_VISIBLE_DEVICES"',
        "ProfilerActivity.CUDA": r"\bProfilerActivity\.CUDA\b",
        "map_location": rf"map_location={_STRING}",
        "rand_device": rf"rand_device={_STRING}",
        "onload_device": rf"onload_device[\"']?(?:=|: ){_STRING}",
        "another *_device": rf"(?:preparing|computation|image_encoder)_device\": {_STRING}",
    }.items()
}


@dataclass
class Statistics:
    """What stands in a tree: bytes in all, of the smallest and the largest script; statements that name a device."""

    files: int = 0
    bytes: int = 0
    smallest: int = 0
    largest: int = 0
    statements: set[str] = field(default_factory=set)
    forms: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        sizes = f"{self.files} scripts, {self.bytes:,} bytes, {self.smallest:,} to {self.largest:,} bytes each"
        rows = [f"{count:6}  {name}" for name, count in self.forms.items()]
        return "\n".join([sizes, f"{len(self.statements)} distinct statements to rewrite", *rows])


def make_tree(folder: Path, seed: int = 0, count: int = 700, without_devices: int = WITHOUT_DEVICES) -> list[Path]:
    """Write `count` scripts below `folder`; the same arguments give the same bytes everywhere.

    Of a hundred, `without_devices` say nothing of devices.
    """
    rng = random.Random(seed)
    without = [name for name, section in SECTIONS.items() if not _DEVICE.search(_text(section))]
    deck = _Deck(rng, [*SECTIONS, *without * (QUIET - 1)])
    quiet = _Deck(rng, without)
    paths = []
    for number in range(count):
        if rng.randrange(100) < without_devices:
            script = _script(rng, quiet)
            while without_devices == 100 and _DEVICE.search(script):  # a prompt or a word of the text may name one
                script = _script(rng, quiet)
        else:
            script = _script(rng, deck)
        name = f"{rng.choice(WORDS['verb'])}_{rng.choice(WORDS['noun'])}_{number:03}.py"
        path = folder / rng.choice(_FOLDERS) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_as_bytes(rng, script))
        paths.append(path)
    return paths


def make_examples(folder: Path, seed: int = 0, count: int = 700) -> list[Path]:
    """Write `count` scripts of 1 to 4 KB below `folder`, as public trees of examples have them.

    Each is one or several of this repository's own examples, as many as fit the size drawn for it, with other seeds
    and names of files. The same arguments give the same bytes everywhere.
    """
    rng = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in sorted(_OWN_EXAMPLES.rglob("*.py"))]
    texts = [text for text in texts if len(text.encode()) <= EXAMPLES[1]]
    paths = []
    for number in range(count):
        script, wanted = "", rng.randrange(*EXAMPLES)
        while len(script.encode()) < max(wanted - _USUAL, EXAMPLES[0]):
            longer = script + re.sub("seed=[0-9]+", f"seed={number}", rng.choice(texts))
            script = longer if len(longer.encode()) <= EXAMPLES[1] else script
        path = folder / rng.choice(_FOLDERS) / f"example_{number:03}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {number}\n{script}" if "seed=" not in script else script, encoding="utf-8")
        paths.append(path)
    return paths


def statistics(paths: list[Path]) -> Statistics:
    sizes = [path.stat().st_size for path in paths]
    found = Statistics(len(paths), sum(sizes), min(sizes), max(sizes), forms=Counter(dict.fromkeys(FORMS, 0)))
    for path in paths:
        for statement in filter(_DEVICE.search, _statements(path.read_text(encoding="utf-8-sig"))):
            forms = [name for name, pattern in FORMS.items() if pattern.search(statement)]
            found.forms.update(forms)
            if forms:
                found.statements.add(statement)
    return found


class _Deck:
    """The sections, shuffled and dealt one after another, so that each comes before any comes again."""

    def __init__(self, rng: random.Random, sections: list[str]) -> None:
        self.rng, self.sections, self.cards = rng, sections, list[str]()

    def deal(self, hand: list[str]) -> str | None:
        """A section that is not in the hand yet; None where the hand holds all."""
        if len(hand) == len(set(self.sections)):
            return None
        if all(card in hand for card in self.cards):
            self.cards += self.rng.sample(self.sections, len(self.sections))
        card = next(card for card in self.cards if card not in hand)
        self.cards.remove(card)
        return card


class _Words(dict[str, str]):
    """What placeholders stand for within one section: drawn when first asked for, without putting back."""

    def __init__(self, rng: random.Random, torch: str, language: str) -> None:
        super().__init__(torch=torch, negative=NEGATIVE_PROMPTS[language])
        self.rng, self.language = rng, language
        self.left: dict[str, list[str]] = {}

    def __missing__(self, name: str) -> str:
        kind = name.rstrip("0123456789")
        self[name] = self._prompt() if kind == "prompt" else self._word(kind)
        return self[name]

    def _word(self, kind: str) -> str:
        left = self.left.setdefault(kind, list(WORDS[kind]))
        return left.pop(self.rng.randrange(len(left)))

    def _prompt(self) -> str:
        return (" " if self.language == "en" else "").join(map(self.rng.choice, PROMPTS[self.language]))


def _script(rng: random.Random, deck: _Deck) -> str:
    """Sections are added until the script has the size drawn for it."""
    language, torch = rng.choice(("en", "zh")), "th" if rng.random() < 0.1 else "torch"
    wanted = min(max(rng.lognormvariate(0, 0.6) * MIDDLE, SMALLEST), LARGEST)
    script, hand, sections = "", [], list[Section]()
    in_a_function = rng.random() < 0.5
    while len(script.encode()) < wanted and (name := deck.deal(hand)):
        hand.append(name)
        added = _filled(SECTIONS[name], _Words(rng, torch, language))
        longer = _put_together([*sections, added], in_a_function)
        if len(longer.encode()) > LARGEST - 500:  # CRLF makes it longer still
            break
        script, sections = longer, [*sections, added]
    return script


def _filled(section: Section, words: _Words) -> Section:
    imports = [f"import torch as {words['torch']}" if words["torch"] != "torch" else "import torch"]
    if "$torch" not in section.definitions + section.main:
        imports.clear()
    return Section(
        definitions=Template(section.definitions).substitute(words).strip("\n"),
        main=Template(section.main).substitute(words).strip("\n"),
        imports=(*imports, *section.imports),
        early=Template(section.early).substitute(words).strip("\n"),
    )


def _put_together(sections: list[Section], in_a_function: bool) -> str:
    early = [section.early for section in sections if section.early]
    imports = "\n".join(dict.fromkeys(line for section in sections for line in section.imports))
    definitions = [section.definitions for section in sections if section.definitions]
    main = "\n".join(section.main for section in sections if section.main) or "print('nothing to do')"
    if in_a_function:
        main = f"def main():\n{indent(main, '    ')}\n\n\nif __name__ == '__main__':\n    main()"
    return "\n\n\n".join(part for part in ["\n".join([*early, imports]).strip("\n"), *definitions, main] if part) + "\n"


def _as_bytes(rng: random.Random, script: str) -> bytes:
    if rng.randrange(100) < WITHOUT_LAST_NEWLINE:
        script = script.rstrip("\n")
    if rng.randrange(100) < WITH_CRLF:
        script = script.replace("\n", "\r\n")
    return script.encode("utf-8-sig" if rng.randrange(100) < WITH_BOM else "utf-8")


def _text(section: Section) -> str:
    return "\n".join([section.definitions, section.main, *section.imports, section.early])


def _statements(text: str) -> Iterator[str]:
    """Every statement as it stands, without comments; of one that holds others the line that opens it, and decorators.

    Statements that are only a string are left out.
    """
    lines = text.encode().splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.stmt) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        first = min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))
        if hasattr(node, "body"):
            yield b"".join(lines[first - 1 : node.lineno]).decode().strip()
        else:
            last = lines[node.end_lineno - 1][: node.end_col_offset]
            yield b"".join([*lines[first - 1 : node.end_lineno - 1], last]).decode().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the tree; must not hold any script yet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=700)
    options = parser.parse_args()
    if any(options.folder.rglob("*.py")):
        parser.error(f"{options.folder} holds scripts already; name a new folder")
    print(statistics(make_tree(options.folder, options.seed, options.count)))


if __name__ == "__main__":
    main()
