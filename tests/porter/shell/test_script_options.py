"""Which options a script's parser knows, read off its source."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from porter.shell.script_options import Options, options_of

FLAG = "--initialize_model_on_cpu"


def options(folder: Path, files: dict[str, str]) -> Options:
    """Those of train.py among files, which are called by their paths without the ending."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    (folder / "pyproject.toml").touch()
    return options_of(str(folder / "train.py"))


ADDS = f'def add(parser):\n    parser.add_argument("{FLAG}", action="store_true")\n'
BUILDS = (
    f'def build_parser():\n    p = ArgumentParser()\n    p.add_argument("{FLAG}", action="store_true")\n    return p\n'
)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"train": f'parser.add_argument("{FLAG}", action="store_true")'}, id="at-the-top"),
        pytest.param(
            {"train": f'def f():\n    g.add_argument("-i", "{FLAG}", action="store_true")'}, id="in-a-function"
        ),
        pytest.param({"train": f'p.add_argument("{FLAG}", action=argparse.BooleanOptionalAction)'}, id="boolean"),
        pytest.param({"train": f'p.add_argument("{FLAG}", nargs="?", const=True)'}, id="value-may-be-left-out"),
        pytest.param({"train": "from flags import add\nadd(parser)", "flags": ADDS}, id="imported"),
        pytest.param(
            {
                "train": "from record import FAMILY\nfamily_parser(FAMILY)",
                "record": 'FAMILY = Family(training="a.models.OwnTraining")',
                "a/models": "class OwnTraining:\n" + indent(ADDS, "    "),
            },
            id="class-that-a-record-names",
        ),
        pytest.param({"train": "from flags import add as a\na(parser)", "flags": ADDS}, id="imported-as"),
        pytest.param({"train": "import flags\nflags.add(parser)", "flags": ADDS}, id="of-a-module"),
        pytest.param({"train": "import flags as f\nf.add(parser)", "flags": ADDS}, id="of-a-module-as"),
        pytest.param({"train": "import a.flags\na.flags.add(parser)", "a/flags": ADDS}, id="of-a-package"),
        pytest.param({"train": "from a import flags\nflags.add(parser)", "a/flags": ADDS}, id="module-of-a-package"),
        pytest.param(
            {"train": "from a import *\nadd(parser)", "a/__init__": "from .b import *", "a/b": ADDS}, id="star"
        ),
        pytest.param(
            {"train": "from a import add\nadd(parser)", "a/__init__": "from a.b import add", "a/b": ADDS},
            id="re-export",
        ),
        pytest.param({"train": "from flags import build_parser\nbuild_parser()", "flags": BUILDS}, id="builder"),
        pytest.param(
            {"train": "from flags import build_parser\nArgumentParser(parents=[build_parser()])", "flags": BUILDS},
            id="parents",
        ),
        pytest.param(
            {
                "train": "from flags import every\nevery(parser)",
                "flags": ADDS + "def every(parser):\n    add(parser)\n",
            },
            id="helper-of-a-helper",
        ),
        pytest.param(
            {"train": "from flags import add\nfor one in (add, other):\n    one(parser)", "flags": ADDS}, id="loop"
        ),
        pytest.param(
            {"train": f'FLAGS = ("{FLAG}",)\nfor flag in FLAGS:\n    p.add_argument(flag, action="store_true")'},
            id="table",
        ),
        pytest.param(
            {
                "train": f'FLAGS = (Flag("{FLAG}", action="store_true"),)\n'
                "for flag in FLAGS:\n    p.add_argument(flag.name, **flag.settings)"
            },
            id="table-of-settings",
        ),
        pytest.param({"train": "from .flags import add\nadd(parser)", "flags": ADDS}, id="relative"),
        pytest.param(
            {"train": "def main():\n    from flags import add\n    add(group)", "flags": ADDS},
            id="imported-in-a-function",
        ),
    ],
)
def test_known(tmp_path: Path, files: dict[str, str]) -> None:
    found = options(tmp_path, files)
    assert FLAG in found.named
    assert FLAG not in found.valued


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"train": 'parser.add_argument("--other", action="store_true")'}, id="another"),
        pytest.param({"train": f"print('{FLAG} x')"}, id="in-a-text"),
        pytest.param(
            {"train": "from flags import other\nother(parser)", "flags": ADDS + "def other(parser): ..."}, id="beside"
        ),
        pytest.param({"train": "import flags", "flags": ADDS}, id="not-called"),
        pytest.param({"train": "from flags import add\nadd(model)", "flags": ADDS}, id="called-without-a-parser"),
        pytest.param({"train": "import argparse\nargparse.ArgumentParser()"}, id="nothing-but-the-library"),
        pytest.param({"train": "import logging\nlogging.config.parse(parser)"}, id="another-library"),
    ],
)
def test_not_known(tmp_path: Path, files: dict[str, str]) -> None:
    found = options(tmp_path, files)
    assert FLAG not in found.named
    assert found.is_complete


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"train": "from nowhere_to_be_found import add\nadd(parser)"}, id="a-module-that-is-not-there"),
        pytest.param({"train": "from .nowhere import add\nadd(parser)"}, id="relative-that-is-not-there"),
        pytest.param({"train": "parser.add_argument(*names)"}, id="computed"),
        pytest.param({"train": 'parser.add_argument(f"--{name}")'}, id="f-string"),
        pytest.param({"train": "def f("}, id="no-python"),
    ],
)
def test_not_all_can_be_read(tmp_path: Path, files: dict[str, str]) -> None:
    assert not options(tmp_path, files).is_complete


@pytest.mark.parametrize("how", ['"--x"', '"--x", type=int', '"--x", action="append"', '"--x", nargs=2'])
def test_an_option_that_takes_a_value(tmp_path: Path, how: str) -> None:
    assert options(tmp_path, {"train": f"parser.add_argument({how})"}).valued == {"--x"}


def test_imports_that_go_round(tmp_path: Path) -> None:
    found = options(
        tmp_path, {"train": "from a import add\nadd(parser)", "a": "from b import add", "b": "from a import add"}
    )
    assert found.named == set()
