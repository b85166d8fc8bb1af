"""Elements are escaped once, and pages fetch nothing."""

from __future__ import annotations

from html.parser import HTMLParser

from porter.reporting.html import Markup, element, page, table, together


def test_content_is_escaped_and_markup_is_not() -> None:
    assert element("p", "a < b & c", element("b", "<i>")) == "<p>a &lt; b &amp; c<b>&lt;i&gt;</b></p>"


def test_attributes_are_escaped_and_false_ones_left_out() -> None:
    made = element("a", "x", href='?a=1&b="2"', class_="chip", hidden=False, open=True, title=None)
    assert made == '<a href="?a=1&amp;b=&quot;2&quot;" class="chip" open>x</a>'


def test_lists_are_taken_apart_and_nothing_is_left_out() -> None:
    assert element("ul", [element("li", 1), None, [element("li", False), "2"]]) == "<ul><li>1</li><li></li>2</ul>"
    assert isinstance(together(["a", Markup("<br>")]), Markup)


def test_a_table_names_its_rows() -> None:
    made = table(("file", "lines"), [("a.py", 3), ("b.py", element("td", "4", class_="chip"))])
    assert '<th scope="row">a.py</th><td>3</td>' in made
    assert '<td class="chip">4</td>' in made


def test_a_page_closes_what_it_opens_and_fetches_nothing() -> None:
    seen = _Tags()
    seen.feed(page("a & b", element("h1", "title"), element("img", src="data:image/png;base64,", alt="x")))
    assert seen.open == []
    assert seen.fetched == []


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href") and "data:" not in str(value)]
        self.fetched += [tag] if tag in ("script", "link", "iframe") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
