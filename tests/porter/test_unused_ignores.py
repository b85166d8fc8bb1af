"""DP117: ignore comments that do nothing, and how they are taken out."""

from __future__ import annotations

import json

import pytest

from porter.analysis import analysis_rules
from porter.documents import port_bytes
from porter.findings import Finding
from porter.port import Plan
from porter.rules import usual_rules

USUAL = frozenset(rule.code for rule in usual_rules())
AFFINITY = USUAL | {rule.code for rule in analysis_rules("affinity")}
OPTIMIZER = "import torch\no = torch.optim.AdamW(m.parameters(), lr=1e-3)"


def unused(text: str, name: str = "a.py", **how: object) -> list[Finding]:
    found = port_bytes(name, text.encode(), Plan("npu", **how)).findings  # type: ignore[arg-type]
    return [one for one in found if one.code == "DP117"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        pytest.param("x = 1  # port: ignore", "nothing", id="everything"),
        pytest.param("x.cuda()  # port: ignore[]", "nothing", id="no-rule"),
        pytest.param("x = 1  # port: ignore[DP101]", "DP101", id="code"),
        pytest.param("x = 1  # port: ignore[DP1]", "DP1", id="beginning"),
        pytest.param("x = 1  # port: ignore[device-string]", "device-string", id="name"),
        pytest.param("x.cuda()  # port: ignore[DP101]", "DP101", id="another-rule"),
        pytest.param("x.cuda()  # port: ignore[DP105, DP101]", "DP101,", id="one-of-two"),
        pytest.param("x.cuda()  # port: ignore[DP1, DP20]", "DP20,", id="beginning-of-another"),
        pytest.param("# port: ignore\nx.cuda()", "nothing", id="above"),
        pytest.param("x = 1\n# port: ignore-file[DP104]\nx.cuda()", "DP104", id="file"),
        pytest.param("# port: ignore-file\nx = 1", "nothing", id="everything-of-the-file"),
    ],
)
def test_what_ignores_nothing(line: str, named: str) -> None:
    (one,) = unused(line + "\n")
    assert (one.severity, one.applicability) == ("note", "safe")
    assert f"ignores {named}" in one.message
    assert "--fix-unused-ignores" in one.way_out


@pytest.mark.parametrize(
    "line",
    [
        "x.cuda()  # port: ignore",
        "x.cuda()  # port: ignore[DP105]",
        "x.cuda()  # port: ignore[cuda-method, DP1]",
        "torch.cuda.nvtx.mark()  # port: ignore[DP201]",
        "x = 1\nx.cuda()\n# port: ignore-file[DP105]",
        's = """\n# port: ignore"""',
        "x.cuda()  # port: ignore[DP999]",  # no rule: DP114
        "x = 1  # port: ignore[DP117]",
        "x = 1  # port: ignore[DP105",  # broken: DP114
        "x = 1  # port: ignore[DP110]",  # judges blocks of Markdown
        "import wandb  # port: ignore",  # of which --packages may say something
        "x = 1  # port: ignore[DP109]",  # speaks when a port is undone
        "x = 1  # port: ignore[DP701]",  # judges packages, after all files
        f"{OPTIMIZER}  # port: ignore[DP506]",  # an analysis that this run does not do
        f"{OPTIMIZER}  # port: ignore",  # the same, by a comment without names
    ],
)
def test_what_is_used_or_not_judged(line: str) -> None:
    assert unused(f"import torch\n{line}\n") == []


def test_only_what_the_run_goes_by_is_judged() -> None:
    text = "x = 1  # port: ignore[DP104]\ny = 1  # port: ignore\nz = 1  # port: ignore[DP101]\n"
    assert len(unused(text)) == 3
    some = frozenset({"DP101", "DP117"})
    assert [one.line for one in unused(text, codes=some)] == [3]
    assert unused(text, codes=frozenset({"DP101"})) == []
    assert unused("x = 1  # port: ignore[DP506]\n", codes=AFFINITY)
    assert unused(f"{OPTIMIZER}  # port: ignore[DP506]\n", codes=AFFINITY) == []
    assert unused("x.cuda()  # port: ignore[DP105]\n", codes=USUAL) == []


@pytest.mark.parametrize("target", ["xpu", "mps"])
def test_a_rule_that_does_not_speak_of_the_target_is_not_judged(target: str) -> None:
    found = port_bytes("a.py", b"x = 1  # port: ignore[DP308]\n", Plan(target)).findings
    assert [one.code for one in found] == []


def test_with_keep_cuda_what_either_pass_leaves_out_counts() -> None:
    text = "import torch\nx = torch.cuda.nvtx  # port: ignore[DP201]\ny.cuda()  # port: ignore[DP105]\n"
    assert unused(text, keep_cuda=True) == []
    assert len(unused("x = 1  # port: ignore[DP105]\n", keep_cuda=True)) == 1


def test_undoing_judges_none() -> None:
    assert port_bytes("a.py", b"x = 1  # port: ignore[DP105]\n", Plan("cuda")).findings == ()


def test_a_text_that_cannot_be_parsed_is_judged_by_no_more_than_its_words() -> None:
    assert port_bytes("a.py", b"x = (  # port: ignore\n", Plan("npu")).data == b"x = (  # port: ignore\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("x = 1  # port: ignore\n", "x = 1\n", id="all-of-it"),
        pytest.param("x = 1  # port: ignore: the reason\n", "x = 1\n", id="with-its-reason"),
        pytest.param("x = 1  # port: ignore[DP101]  # noqa\n", "x = 1  # noqa\n", id="another-behind"),
        pytest.param("x = 1  # noqa  # port: ignore\n", "x = 1  # noqa\n", id="another-before"),
        pytest.param("x = 1  # port: ignore see #3\n", "x = 1\n", id="no-comment-but-a-number"),
        pytest.param("# port: ignore-file\nx = 1\n", "x = 1\n", id="line-of-its-own"),
        pytest.param("x = 1\n    # port: ignore\r\ny = 2\n", "x = 1\ny = 2\n", id="indented-line-of-its-own"),
        pytest.param("x = 1  # port: ignore", "x = 1", id="last-line"),
        pytest.param("x = 1\n# port: ignore", "x = 1\n", id="last-line-of-its-own"),
        pytest.param("x = 1  # port: ignore\r\n", "x = 1\r\n", id="windows"),
        pytest.param(
            "x.cuda()  # port: ignore[DP104,DP105, DP101]\n", "x.cuda()  # port: ignore[DP105]\n", id="names-out-of-it"
        ),
        pytest.param(
            "x.cuda()  # port: ignore[DP101, cuda-methods, DP105]\n",
            "x.cuda()  # port: ignore[cuda-methods, DP105]\n",
            id="what-is-no-rule-may-be-meant-otherwise",
        ),
        pytest.param('x.to("cuda")  # port: ignore[DP105]\n', 'x.to("npu")\n', id="beside-a-port"),
        pytest.param(
            "a = [  # port: ignore\n    1,  # port: ignore[DP101]\n]\n", "a = [\n    1,\n]\n", id="within-brackets"
        ),
    ],
)
def test_it_is_taken_out(before: str, after: str) -> None:
    done = port_bytes("a.py", before.encode(), Plan("npu", fixes_ignores=True))
    assert done.data.decode() == after
    again = port_bytes("a.py", done.data, Plan("npu", fixes_ignores=True))
    assert again.data == done.data
    assert all(one.is_fix for one in done.findings if one.code == "DP117")
    unchanged = port_bytes("a.py", before.encode(), Plan("npu"))
    assert unchanged.data.count(b"port:") == before.count("port:")


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a.yaml", "a: 1  # port: ignore\nb: |\n  x  # port: ignore\n", "a: 1\nb: |\n  x  # port: ignore\n"),
        ("a.toml", 'a = 1  # port: ignore\nb = "# port: ignore"\n', 'a = 1\nb = "# port: ignore"\n'),
        ("a.sh", "echo a  # port: ignore\ncat <<E\nx # port: ignore\nE\n", "echo a\ncat <<E\nx # port: ignore\nE\n"),
        ("requirements.txt", "numpy  # port: ignore[DP416]\n", "numpy\n"),
        ("Dockerfile", "# port: ignore\nFROM a\n", "FROM a\n"),
        ("Makefile", "run:\n\techo a  # port: ignore\n", "run:\n\techo a\n"),
        ("a.md", "> ```python\n> x = 1  # port: ignore\n> ```\n", "> ```python\n> x = 1\n> ```\n"),
    ],
)
def test_in_every_kind_of_file(name: str, before: str, after: str) -> None:
    assert port_bytes(name, before.encode(), Plan("npu", fixes_ignores=True)).data.decode() == after


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "device: cuda  # port: ignore\nimage: nvidia/cuda:12  # port: ignore[DP414]\n"),
        ("a.sh", "nvidia-smi  # port: ignore[DP406]\nnvcc a \\\n  -o b  # port: ignore\n"),
        ("b.sh", "module load cuda/12  # port: ignore[DP418]\n"),
        ("requirements.txt", "xformers  # port: ignore[DP416]\n"),
        ("Dockerfile", "# port: ignore[DP417]\nFROM nvidia/cuda:12\n# port: ignore\nRUN nvidia-smi\n"),
        ("Makefile", "run:\n\tnvidia-smi  # port: ignore[DP406]\n"),
        ("a.md", "```bash\nnvidia-smi  # port: ignore[DP406]\n```\n"),
        ("a.cu", "__global__ void f() {}  // port: ignore[DP217]\n"),
    ],
)
def test_one_that_is_used_stays_and_holds(name: str, text: str) -> None:
    done = port_bytes(name, text.encode(), Plan("npu", fixes_ignores=True))
    assert (done.data.decode(), done.findings) == (text, ())


def test_one_that_only_a_person_can_take_out_says_so() -> None:
    text = "run: |\n  ls  # port: ignore\n"
    done = port_bytes("a.yaml", text.encode(), Plan("npu", fixes_ignores=True))
    assert (done.data.decode(), [one.way_out for one in done.findings]) == (text, ["take it out by hand"])


def test_in_a_notebook() -> None:
    cells = [
        {"cell_type": "code", "source": [source]} for source in ("x.cuda()  # port: ignore", "y = 1  # port: ignore")
    ]
    data = json.dumps({"cells": cells}).encode()
    (one,) = unused(data.decode(), "a.ipynb")
    assert (one.cell, one.line) == (2, 1)
    done = port_bytes("a.ipynb", data, Plan("npu", fixes_ignores=True))
    assert [cell["source"] for cell in json.loads(done.data)["cells"]] == [["x.cuda()  # port: ignore"], ["y = 1"]]


def test_its_edit_goes_with_it() -> None:
    (one,) = unused("x = 1  # port: ignore\n", shows_edits=True)
    assert [tuple(edit) for edit in one.edits] == [(1, 6, 1, 22, "")]
