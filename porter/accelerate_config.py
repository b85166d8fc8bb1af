"""A configuration file of accelerate: YAML that has `compute_environment` and `distributed_type`.

It is read by the parser that accelerate reads it by. Importing it costs time, so that is done where a file needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from porter.text_unit import Lines, Span
from porter.yaml_text import place_of, yaml_documents

if TYPE_CHECKING:
    from yaml.nodes import Node

#: What tells such a file from other YAML.
KEYS = ("compute_environment", "distributed_type")


@dataclass(frozen=True)
class Entry:
    """One key and its value, as text; `span` is the value's. A mapping has no text but `entries`."""

    key: str
    text: str
    span: Span
    entries: dict[str, Entry] = field(default_factory=dict)


class AccelerateConfig(Lines):
    """One file, which may hold several documents. Raises porter.source.CannotParse if it is no YAML."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._documents = yaml_documents(text)

    @cached_property
    def configurations(self) -> list[dict[str, Entry]]:
        """The entries of each document that configures accelerate, by their keys."""
        found = [self._entries(document) for document in self._documents]
        return [entries for entries in found if all(key in entries for key in KEYS)]

    def entries(self) -> Iterator[Entry]:
        """Every entry of those documents, those within others too."""
        stack = [entry for entries in self.configurations for entry in entries.values()][::-1]
        while stack:
            entry = stack.pop()
            yield entry
            stack.extend(reversed(entry.entries.values()))

    def _entries(self, node: Node | None) -> dict[str, Entry]:
        from yaml.nodes import MappingNode

        if not isinstance(node, MappingNode):
            return {}
        return {key.value: self._entry(key.value, value) for key, value in node.value if isinstance(key.value, str)}

    def _entry(self, key: str, node: Node) -> Entry:
        from yaml.nodes import ScalarNode

        if isinstance(node, ScalarNode):
            start, end = place_of(node, self.text)
            return Entry(key, node.value, (self._offset(start), self._offset(end)))
        return Entry(
            key, "", (self._offset(node.start_mark.index), self._offset(node.end_mark.index)), self._entries(node)
        )

    def _offset(self, character: int) -> int:
        return len(self.text[:character].encode("utf-8"))
