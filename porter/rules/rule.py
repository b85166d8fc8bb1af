"""What a rule is, and how one is written: a page (the module's docstring), the words that call for it, a function.

RULE = Rule("DP105", "cuda-method", __doc__, words=("cuda", "is_cuda"))

@RULE.on(ast.Call)
def move_to_the_new_device(node: ast.Call, unit: Unit) -> Iterator[Found]: ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from porter.targets import Translation
from porter.unit import Found

Check = Callable[[Any, Any], Iterator[Found]]
Words = Callable[[Translation], frozenset[str]]


@dataclass
class Rule:
    """One rule. A file that holds none of its `words` is never shown to it.

    `words` are whole words (letters, digits and underscores), or a function that gives them for a translation. Where
    they are frequent in other files, `beside` names words of which a file has to hold one as well, on any line, and
    `spelled` gives for one of them the regular expression that has to match: what stands before a module's name, say.
    `last` is for a rule that speaks of what no other has judged: it is asked when they all have been.
    `targets` are the accelerators that it speaks about; None: all of them. `language` is what it reads: "python", for
    which a check is given nodes of `ast` and a Unit; "shell", parts of a script; "accelerate", a
    configuration of accelerate; both with a porter.text_unit.TextUnit. `analysis` names the one that it belongs to,
    which a run does only when asked; None: every run goes by it.
    """

    code: str
    name: str
    page: str | None
    words: tuple[str, ...] | Words
    fixes: bool = True
    targets: frozenset[str] | None = None
    beside: tuple[str, ...] = ()
    spelled: dict[str, str] = field(default_factory=dict)
    language: str = "python"
    last: bool = False
    analysis: str | None = None
    checks: list[tuple[tuple[type[Any], ...], Check]] = field(default_factory=list)

    def on(self, *nodes: type[Any]) -> Callable[[Check], Check]:
        """Registers a function for nodes of these types."""

        def register(check: Check) -> Check:
            self.checks.append((nodes, check))
            return check

        return register

    def words_for(self, translation: Translation) -> frozenset[str]:
        return frozenset(self.words) if isinstance(self.words, tuple) else self.words(translation)

    def applies_to(self, translation: Translation) -> bool:
        """Reports are about what an accelerator lacks; undoing a port has none to make."""
        if translation.undoes and (not self.fixes or self.analysis is not None):
            return False
        return self.targets is None or translation.accelerator.name in self.targets

    def is_named(self, wanted: str) -> bool:
        """Whether `wanted` is the rule's name, or its code or the beginning of it."""
        return wanted.lower() == self.name or (wanted != "" and self.code.startswith(wanted.upper()))

    @property
    def summary(self) -> str:
        """The first line of the page, without its heading."""
        return self.explanation.splitlines()[0].partition(": ")[2]

    @property
    def explanation(self) -> str:
        return inspect.cleandoc(self.page or "")
