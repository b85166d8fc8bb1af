"""HTML pages that stand alone: elements as text that is escaped once, and a page with its style inside."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

_WITHOUT_CONTENT = frozenset({"img", "input", "meta", "line", "polyline", "circle"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *content: object, **attributes: object) -> Markup:
    """An element. Content that is no Markup is escaped, None and False are left out, and lists are taken apart.

    An attribute that ends in an underscore is one whose name Python keeps for itself (`class_`); True stands for an
    attribute without a value.
    """
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    start = f"<{tag}{written}>"
    return Markup(start if tag in _WITHOUT_CONTENT else f"{start}{together(content)}</{tag}>")


def together(content: Iterable[object]) -> Markup:
    """Pieces of content, one after the other."""
    return Markup("".join(_text(one) for one in content))


def page(title: str, *body: object) -> str:
    """A whole page, with nothing to fetch."""
    style = files("porter.reporting").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    return f"<!doctype html>\n{element('html', head, element('body', element('main', *body)), lang='en')}\n"


def table(header: Iterable[object], rows: Iterable[Iterable[object]], class_: str = "") -> Markup:
    """A table whose first column names the rows. A cell that is a `td` or `th` already stays as it is."""
    head = element("tr", [element("th", name, scope="col") for name in header])
    lines = [element("tr", [_cell(cell, number == 0) for number, cell in enumerate(row)]) for row in rows]
    body = element("table", element("thead", head), element("tbody", lines), class_=class_ or None)
    return element("div", body, class_="scroll")


def _cell(cell: object, names_the_row: bool) -> Markup:
    if isinstance(cell, Markup) and cell.startswith(("<td", "<th")):
        return cell
    return element("th", cell, scope="row") if names_the_row else element("td", cell)


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _text(content: object) -> str:
    if content is None or content is False:
        return ""
    if isinstance(content, Markup):
        return content
    if isinstance(content, (list, tuple)):
        return together(content)
    return escape(str(content), quote=False)
