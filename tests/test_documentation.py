"""The documents: their links lead somewhere, the Chinese ones name what the English ones name, examples are alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
IN_CHINESE = sorted(page for page in ROOT.glob("docs/zh/*.md") if (ROOT / "docs" / page.name).exists())


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: letters of any script, digits, "-" and "_"."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


def test_there_is_a_page_in_chinese_for_what_a_reader_needs_next() -> None:
    assert [page.stem for page in IN_CHINESE] == [
        "README",
        "analyses",
        "command-line",
        "emulator",
        "install",
        "pipelines",
        "qwen-image",
        "verify",
        "wan",
        "z-image",
    ]
    linked = re.findall(r"\]\((docs/zh/[^)#]+)", (ROOT / "README.zh.md").read_text(encoding="utf-8"))
    pages = {page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/zh/*.md") if page.stem != "README"}
    assert set(linked) == pages | {"docs/zh/README.md"}


@pytest.mark.parametrize("page", [page for page in IN_CHINESE if page.stem != "README"], ids=lambda page: page.stem)
def test_it_names_the_options_variables_and_statuses_of_the_english_page(page: Path) -> None:
    def named(path: Path) -> set[str]:
        text = path.read_text(encoding="utf-8").replace("\\|", "/")
        cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
        return {span for cell in cells for span in re.findall(r"`([^`]+)`", cell)}

    assert named(ROOT / "docs" / page.name) <= named(page)


@pytest.mark.parametrize("name", ["command-line.md", "install.md", "verify.md"])
def test_its_commands_and_settings_are_those_of_the_english_page(name: str) -> None:
    def blocks(path: Path) -> list[str]:
        found = re.findall(r"^```\w+\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        return [re.sub(r"[ ]+#.*", "", block) for block in found]

    assert blocks(ROOT / "docs" / "zh" / name) == blocks(ROOT / "docs" / name)
