"""Ports and their undoing by the command: where the record is kept, and what it stands."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import Process
from pathlib import Path

import pytest
from click.testing import CliRunner

from porter.cli import command
from porter.documents.notebook import entry_of_code
from porter.files import replace_file
from porter.record import entry_of
from porter.record_log import Record, RecordError, _log, state_folder

Run = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    """What a run came to."""

    returncode: int
    stdout: bytes
    stderr: bytes


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the command in the test's folder, within this process, as if it were a new one each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))

    def call(*arguments: str) -> Done:
        _log.cache_clear()
        done = CliRunner().invoke(command, [*arguments, "-j", "1"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Done(done.exit_code, done.stdout_bytes, done.stderr_bytes)

    yield call
    gc.enable()


SCRIPT = b'import torch\nfrom diffsynth import a\nx = torch.cuda.mem_get_info("cuda")\n'
WITH_ITS_OWN = SCRIPT.replace(
    b"x =", b"from diffsynth.core.device.npu_compatible_device import get_device_name\nx =", 1
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    _log.cache_clear()
    return Path(state_folder())


def round_trip(run: Run, file: Path, before: bytes, target: str = "npu", since: bytes = b"") -> bytes:
    """What is left of a file, ported, `since` appended, ported again and undone."""
    file.write_bytes(before)
    assert run(file.name, "--target", target).returncode in (0, 1)
    if since:
        file.write_bytes(file.read_bytes() + since)
        assert run(file.name, "--target", target).returncode in (0, 1)
    assert run(file.name, "--target", "cuda").returncode in (0, 1)
    return file.read_bytes()


# the files of the kind: every one comes back as it was


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b'x = torch.zeros(1, device="npu")\n', id="never-ported-npu"),
        pytest.param(b'backend = "hccl" if a else "nccl"\nx.to(device="cuda")\n', id="backends"),
        pytest.param(b'd = "npu:%d" % r if n else "cuda:%d" % r\n', id="percent"),
        pytest.param(b'd = "npu:{}".format(r) if n else "cuda:{}".format(r)\nx.cuda()\n', id="format"),
        pytest.param(b"a = [ProfilerActivity.CUDA, ProfilerActivity.NPU]\n", id="activities"),
        pytest.param(
            b'os.environ["CUDA_VISIBLE_DEVICES"] = "0"\nos.environ["ASCEND_RT_VISIBLE_DEVICES"] = "0"\n', id="variables"
        ),
        pytest.param(b'a = "npu" if x else "mps"\nb = "cuda"\n', id="npu-and-mps"),
        pytest.param(b'class Device(Enum):\n    CUDA = "cuda"\n    NPU = "npu"\nx = "cuda"\n', id="enum"),
        pytest.param(SCRIPT, id="import-added"),
        pytest.param(WITH_ITS_OWN, id="import-of-its-own"),
        pytest.param(b"x = torch.cuda.mem_get_info('cuda') or \"\"\nfrom diffsynth import a\n", id="other-quotes"),
    ],
)
def test_there_and_back(run: Run, tmp_path: Path, before: bytes) -> None:
    assert round_trip(run, tmp_path / "a.py", before) == before


@pytest.mark.parametrize("target", ["xpu", "mps", "musa"])
def test_a_method_that_became_to(run: Run, tmp_path: Path, target: str) -> None:
    before = b'm.cuda()\nn.cuda(0, non_blocking=True)\nx.device.type == "mps"\n'
    assert round_trip(run, tmp_path / "a.py", before, target) == before


def test_what_was_appended_and_ported_too_comes_back_as_written(run: Run, tmp_path: Path) -> None:
    assert (
        round_trip(run, tmp_path / "a.py", SCRIPT, since=b'y = "cuda"\nz = "npu"\n')
        == SCRIPT + b'y = "cuda"\nz = "npu"\n'
    )


def test_ported_to_two_accelerators_one_after_the_other(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b'a = "cuda"\n')
    run("a.py", "--target", "npu")
    file.write_bytes(file.read_bytes() + b'b = "cuda"\n')
    run("a.py", "--target", "xpu")
    assert file.read_bytes() == b'a = "npu"\nb = "xpu"\n'
    run("a.py", "--target", "cuda")
    assert file.read_bytes() == b'a = "cuda"\nb = "cuda"\n'


def test_never_ported_words_of_another_accelerator_stay(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b'if x.device.type == "mps": pass\n')
    run("a.py", "--target", "cuda")
    assert (tmp_path / "a.py").read_bytes() == b'if x.device.type == "mps": pass\n'


def test_undone_twice(run: Run, tmp_path: Path) -> None:
    before = b'a = "cuda"\nb = "npu"\n'
    assert round_trip(run, tmp_path / "a.py", before) == before
    assert run("a.py", "--target", "cuda").returncode == 0
    assert (tmp_path / "a.py").read_bytes() == before


def test_brought_back_by_version_control_and_ported_again(run: Run, tmp_path: Path) -> None:
    before = b'a = "npu" if x else "cuda"\nb = "cuda"\n'
    assert round_trip(run, tmp_path / "a.py", before) == before
    run("a.py", "--target", "npu")
    (tmp_path / "a.py").write_bytes(before)
    assert round_trip(run, tmp_path / "a.py", before) == before


def test_a_place_that_is_gone_is_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b'import torch\na = "cuda"\nb = "cuda"\nprint(a, b)\n')
    run("a.py", "--target", "npu")
    file.write_bytes(file.read_bytes().replace(b'b = "npu"', b"b = None"))
    done = run("a.py", "--target", "cuda")
    assert file.read_bytes() == b'import torch\na = "cuda"\nb = None\nprint(a, b)\n'
    assert b"a.py:3:1: DP109 error a port made npu of cuda here, and it is no longer there" in done.stdout
    assert done.returncode == 1


def test_a_renamed_file_is_known_by_its_content(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SCRIPT)
    (tmp_path / "b.py").write_bytes(WITH_ITS_OWN)
    run(".", "--target", "npu")
    assert (tmp_path / "a.py").read_bytes() == (tmp_path / "b.py").read_bytes()
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.py").rename(tmp_path / "deep" / "c.py")
    run(".", "--target", "cuda")
    assert (tmp_path / "deep" / "c.py").read_bytes() == SCRIPT
    assert (tmp_path / "b.py").read_bytes() == WITH_ITS_OWN


LONG = SCRIPT + b"".join(b"y%d = load(%d)\n" % (number, number) for number in range(6)) + b'z = "npu"\n'


@pytest.mark.parametrize("since", [b"", b'more = 1\nw = "npu"\n'], ids=["alone", "grown"])
def test_a_file_that_was_renamed_and_edited_is_known_by_most_of_its_lines(
    run: Run, tmp_path: Path, since: bytes
) -> None:
    (tmp_path / "a.py").write_bytes(LONG)
    run("a.py", "--target", "npu")
    edited = (tmp_path / "a.py").read_bytes().replace(b"y3 = load(3)", b"y3 = load(4)") + since
    (tmp_path / "a.py").unlink()
    (tmp_path / "b.py").write_bytes(edited)
    done = run("b.py", "--target", "cuda")
    assert (tmp_path / "b.py").read_bytes() == LONG.replace(b"y3 = load(3)", b"y3 = load(4)") + since
    assert b"DP109 note undone by the record of a.py" in done.stdout


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b'import torch\na = 1\nb = 2\nc = "npu"\n', id="few-lines"),
        pytest.param(b"".join(b"y%d = load(%d)\n" % (number, number) for number in range(6)) + b'c = "npu"\n',
                     id="nothing-that-was-changed"),
    ],
)  # fmt: skip
def test_a_file_that_has_little_in_common_is_another(run: Run, tmp_path: Path, other: bytes) -> None:
    (tmp_path / "a.py").write_bytes(LONG)
    run("a.py", "--target", "npu")
    (tmp_path / "b.py").write_bytes(other)
    done = run("b.py", "--target", "cuda")
    assert (tmp_path / "b.py").read_bytes() == other.replace(b"npu", b"cuda")
    assert b"DP109 note no record of a port of this file is known" in done.stdout


def test_a_moved_folder_with_a_file_that_is_what_another_was_ported_to(run: Run, tmp_path: Path) -> None:
    """As the NPU form of a script beside it, made by hand: the lines tell nothing, the name does."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.py").write_bytes(b'import torch\nx = torch.zeros(1, device="cuda")\ny = "npu"\n')
    by_hand = b'import torch\nx = torch.zeros(1, device="npu")\ny = "npu"\n'
    (tmp_path / "here" / "a_npu.py").write_bytes(by_hand)
    run("here", "--target", "npu")
    assert (tmp_path / "here" / "a.py").read_bytes() == by_hand
    (tmp_path / "here").rename(tmp_path / "there")
    run("there", "--target", "cuda")
    assert (tmp_path / "there" / "a.py").read_bytes() == by_hand.replace(b'device="npu"', b'device="cuda"')
    assert (tmp_path / "there" / "a_npu.py").read_bytes() == by_hand


MANY = b"".join(b"y%d = load(%d)\n" % (number, number) for number in range(9))
QUERY = b'pipe(\n    vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 2,\n)\n'
OWN_IMPORT = b"from diffsynth.core.device.npu_compatible_device import get_device_name\n"


@pytest.mark.parametrize("is_gone", [False, True], ids=["ported-one-in-its-place", "ported-one-gone"])
def test_a_sibling_that_was_never_ported_stays(run: Run, tmp_path: Path, is_gone: bool) -> None:
    head = b"import torch\nfrom diffsynth import a\n"
    (tmp_path / "a.py").write_bytes(head + MANY + QUERY)
    run("a.py", "--target", "npu", "--output", "out")
    assert OWN_IMPORT in (tmp_path / "out" / "a.py").read_bytes()
    if is_gone:
        (tmp_path / "out" / "a.py").unlink()
    (tmp_path / "other").mkdir()
    never = head + OWN_IMPORT + MANY + QUERY
    (tmp_path / "other" / "b.py").write_bytes(never)
    done = run("other/b.py", "--target", "cuda")
    assert (tmp_path / "other" / "b.py").read_bytes() == never
    assert (done.returncode, b"1 file left unchanged. No findings." in done.stdout) == (0, True)


def test_a_copy_whose_ported_lines_were_edited_goes_by_words(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(MANY + b'a = "cuda"\nb = "cuda"\nc = "cuda"\n')
    run("a.py", "--target", "npu")
    copy = (tmp_path / "a.py").read_bytes().replace(b'b = "npu"', b'print(b, "npu")')
    (tmp_path / "b.py").write_bytes(copy)
    done = run("b.py", "--target", "cuda")
    assert b"DP109 note no record of a port of this file is known" in done.stdout
    assert (tmp_path / "b.py").read_bytes() == MANY + b'a = "cuda"\nprint(b, "npu")\nc = "cuda"\n'


def test_a_renamed_file_whose_ported_lines_are_there_for_the_most_part(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(MANY + b'a = "cuda"\nb = "cuda"\nc = "cuda"\nd = "npu"\n')
    run("a.py", "--target", "npu")
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    (tmp_path / "b.py").write_bytes((tmp_path / "b.py").read_bytes().replace(b'b = "npu"', b"b = None"))
    done = run("b.py", "--target", "cuda")
    assert (tmp_path / "b.py").read_bytes() == MANY + b'a = "cuda"\nb = None\nc = "cuda"\nd = "npu"\n'
    assert done.returncode == 1


ADDED = entry_of(MANY + b"use(1)\n", MANY + b'if d == "npu":\n    a = 1\n    b = 2\nuse(1)\n', ["npu"])


@pytest.mark.parametrize("path", ["a.py", "gone.py"], ids=["own-record", "record-of-another"])
def test_what_could_not_be_parsed_afterwards_is_left_as_it_is(run: Run, tmp_path: Path, path: str) -> None:
    """Of the lines that a port has added, those that are still there open a block with one that was edited."""
    edited = MANY + b'if d == "npu":\n    a = 1\n    b = 3\nuse(1)\n'
    (tmp_path / "a.py").write_bytes(edited)
    Record().keep([(str(tmp_path / path), ADDED)])
    done = run("a.py", "--target", "cuda")
    assert (done.returncode, (tmp_path / "a.py").read_bytes()) == (2, edited)
    assert f"left as it is: undone by the record of {path}, it could not be parsed".encode() in done.stdout


def test_what_could_not_be_parsed_before_is_undone_as_far_as_it_goes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b'if d == "npu":\n    a = 1\n    b = 3\nuse(1)\n(\n' + MANY)
    Record().keep([(str(tmp_path / "a.py"), ADDED)])
    assert run("a.py", "--target", "cuda").returncode == 0
    assert (tmp_path / "a.py").read_bytes() == b"    b = 3\nuse(1)\n(\n" + MANY


def test_a_notebook_whose_cell_could_not_be_parsed_afterwards_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    cells = "%time\nx = 1\ny = 2", "if npu:\n    b = 2\nuse(1)"
    before, after = notebook(cells[0], "use(1)"), notebook(*cells)
    edited = notebook(cells[0], cells[1].replace("2", "3"), outputs=True)
    entry = replace(entry_of(before, after, ["npu"]), code=entry_of_code(before, after, ["npu"]))
    Record().keep([(str(tmp_path / "a.ipynb"), entry)])
    (tmp_path / "a.ipynb").write_bytes(edited)
    assert (run("a.ipynb", "--target", "cuda").returncode, (tmp_path / "a.ipynb").read_bytes()) == (2, edited)


def test_a_renamed_file_that_its_author_wrote_for_both_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b'import torch\nx = torch.ones(1, device="npu")\n')
    run("a.py", "--target", "npu")
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    run("b.py", "--target", "cuda")
    assert (tmp_path / "b.py").read_bytes() == b'import torch\nx = torch.ones(1, device="npu")\n'


def notebook(*sources: str, indent: int | None = 1, outputs: bool = False, lists: bool = True) -> bytes:
    printed = [{"output_type": "stream", "name": "stdout", "text": ["npu\n"]}] if outputs else []
    cells = [
        {
            "cell_type": "code",
            "execution_count": 3 if outputs else None,
            "metadata": {},
            "outputs": printed,
            "source": source.splitlines(keepends=True) if lists else source,
        }
        for source in sources
    ]
    whole = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=indent).encode() + b"\n"


@pytest.mark.parametrize(("indent", "lists"), [(None, False), (1, True), (4, False), (None, True)])
def test_a_notebook_that_jupyter_saved_again(run: Run, tmp_path: Path, indent: int | None, lists: bool) -> None:
    file, own = tmp_path / "a.ipynb", 'b = "npu"\n!nvidia-smi'
    file.write_bytes(notebook('import torch\na = "cuda"', own, indent=indent, lists=lists))
    run("a.ipynb", "--target", "npu")
    ported = ["".join(cell["source"]) for cell in json.loads(file.read_bytes())["cells"]]
    assert ported[0] == 'import torch\na = "npu"'
    file.write_bytes(notebook("new = 1", *ported, outputs=True))
    run("a.ipynb", "--target", "cuda")
    assert file.read_bytes() == notebook("new = 1", 'import torch\na = "cuda"', own, outputs=True)


def test_a_place_that_is_gone_from_a_notebook_is_told_with_its_cell(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.ipynb"
    file.write_bytes(notebook("import torch\nfirst = 1", 'x = 1\na = "cuda"\ny = 2', indent=None))
    run("a.ipynb", "--target", "npu")
    file.write_bytes(notebook("import torch\nfirst = 1", "x = 1\na = None\ny = 2"))
    done = run("a.ipynb", "--target", "cuda")
    assert b"a port made npu of cuda here, and it is no longer there" in done.stdout
    assert file.read_bytes() == notebook("import torch\nfirst = 1", "x = 1\na = None\ny = 2")


def test_a_link_and_what_it_leads_to_are_one_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SCRIPT)
    (tmp_path / "link.py").symlink_to("a.py")
    run("link.py", "--target", "npu")
    assert (tmp_path / "a.py").read_bytes() != SCRIPT
    run("a.py", "--target", "cuda")
    assert (tmp_path / "a.py").read_bytes() == SCRIPT
    assert (tmp_path / "link.py").is_symlink()


def test_an_output_folder_is_undone_as_well(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SCRIPT)
    run("a.py", "--target", "npu", "--output", "ported")
    run("ported", "--target", "cuda", "--output", "undone")
    assert (tmp_path / "undone" / "a.py").read_bytes() == SCRIPT
    run("ported", "--target", "cuda")
    assert (tmp_path / "ported" / "a.py").read_bytes() == SCRIPT


def test_what_is_noted_is_not_noted_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SCRIPT)
    run("a.py", "--target", "npu")
    (log,) = Path(state_folder()).iterdir()
    noted = log.read_bytes()
    run("a.py", "--target", "npu")
    assert log.read_bytes() == noted


def test_looking_keeps_no_record(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b'x = "npu"\n')
    for way in ("--check", "--diff", "--no-record"):
        run("a.py", "--target", "npu", way)
    run("a.py", "--target", "cuda")
    assert (tmp_path / "a.py").read_bytes() == b'x = "cuda"\n'


def test_without_the_record_it_goes_by_words(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SCRIPT)
    run("a.py", "--target", "npu")
    run("a.py", "--target", "cuda", "--no-record")
    assert (tmp_path / "a.py").read_bytes() == WITH_ITS_OWN


def test_another_program_at_the_same_path(run: Run, tmp_path: Path) -> None:
    round_trip(run, tmp_path / "a.py", SCRIPT)
    run("a.py", "--target", "npu")
    (tmp_path / "a.py").write_bytes(b'one = 1\ntwo = 2\nthree = 3\nx = "npu"\n')
    run("a.py", "--target", "cuda")
    assert (tmp_path / "a.py").read_bytes() == b'one = 1\ntwo = 2\nthree = 3\nx = "cuda"\n'


# a record to be committed


def test_a_file_of_which_too_little_is_left_is_undone_by_words_with_a_warning(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    before = b"import torch\n" + b"".join(b"y%d = torch.zeros(%d, device='cuda')\n" % (n, n) for n in range(8))
    file.write_bytes(before)
    run("a.py", "--target", "npu")
    file.write_bytes(b"import torch\n\n\nz = torch.ones(3, device='npu')\n")
    done = run("a.py", "--target", "cuda")
    assert file.read_bytes() == b"import torch\n\n\nz = torch.ones(3, device='cuda')\n"
    assert b"too little is left of what was ported here" in done.stdout


def test_a_record_that_is_committed_undoes_on_another_machine(run: Run, tmp_path: Path) -> None:
    tree = tmp_path / "here"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "a.py").write_bytes(SCRIPT)
    (tree / "b.sh").write_bytes(b"CUDA_VISIBLE_DEVICES=0 python a.py\n")
    assert run("here", "--target", "npu", "--record", "here/port.jsonl").returncode == 0
    lines = (tree / "port.jsonl").read_bytes().splitlines()
    assert json.loads(lines[0]) == {"tool": "diffsynth-port", "record": 1}
    assert [json.loads(line)["path"] for line in lines[1:]] == ["b.sh", "sub/a.py"]
    shutil.move(tree, tmp_path / "there")
    assert run("there", "--target", "cuda", "--record", "there/port.jsonl").returncode == 0
    assert (tmp_path / "there" / "sub" / "a.py").read_bytes() == SCRIPT
    assert (tmp_path / "there" / "b.sh").read_bytes() == b"CUDA_VISIBLE_DEVICES=0 python a.py\n"


def test_a_port_with_a_record_is_undone_without_naming_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(WITH_ITS_OWN + b'z = "npu"\n')
    run("a.py", "--target", "npu", "--record", "port.jsonl")
    (tmp_path / "port.jsonl").unlink()
    run("a.py", "--target", "cuda")
    assert (tmp_path / "a.py").read_bytes() == WITH_ITS_OWN + b'z = "npu"\n'


@pytest.mark.parametrize("path", ["there", "there/sub/a.py"])
def test_a_record_in_the_tree_is_found_on_another_machine(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (tmp_path / "here" / ".git").mkdir()
    (tmp_path / "here" / "sub" / "a.py").write_bytes(SCRIPT + b'z = "npu"\n')
    run("here", "--target", "npu", "--record", "here/port.jsonl")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    run(path, "--target", "cuda")
    assert (tmp_path / "there" / "sub" / "a.py").read_bytes() == SCRIPT + b'z = "npu"\n'


@pytest.mark.parametrize("name", ["port.json", "port.jsonl", "port"])
def test_a_record_in_the_tree_is_no_file_of_the_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "a.py").write_bytes(SCRIPT + b'z = "npu"\n')
    (tmp_path / "b.json").write_bytes(b'{"device": "npu"}\n')
    run(".", "--target", "npu", "--record", f"notes/{name}")
    again = run(".", "--target", "npu", "--record", f"notes/{name}").stdout.decode()
    assert again.startswith("2 files left unchanged.")
    if "." in name:  # any other is only opened where a record is needed
        assert "not looked at" not in again
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.with_name("another")))
    run(".", "--target", "cuda")
    assert (tmp_path / "a.py").read_bytes() == SCRIPT + b'z = "npu"\n'
    assert (tmp_path / "b.json").read_bytes() == b'{"device": "npu"}\n'


def test_a_file_that_could_not_be_undone_is_undone_later(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(WITH_ITS_OWN + b'z = "npu"\n')
    run("a.py", "--target", "npu")
    file.chmod(0o444)
    assert b"not written: it is read-only" in run("a.py", "--target", "cuda").stdout
    file.chmod(0o644)
    run("a.py", "--target", "cuda")
    assert file.read_bytes() == WITH_ITS_OWN + b'z = "npu"\n'


def test_what_was_undone_and_could_not_be_noted_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(SCRIPT)
    run("a.py", "--target", "npu")

    def refuse(record: Record, entries: object) -> None:
        raise RecordError("rec: the record was not written: No space left on device")

    monkeypatch.setattr(Record, "keep", refuse)
    done = run("a.py", "--target", "cuda")
    assert b"undone, but not noted: rec: the record was not written: No space left on device" in done.stdout
    assert (done.returncode, file.read_bytes()) == (2, SCRIPT)


def test_a_file_that_could_not_be_ported_again_is_undone_from_its_first_port(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(SCRIPT)
    run("a.py", "--target", "npu")
    ported = file.read_bytes()
    file.write_bytes(ported + b'y = torch.zeros(1).to("cuda")\n')
    file.chmod(0o444)
    assert b"not written: it is read-only" in run("a.py", "--target", "xpu").stdout
    file.chmod(0o644)
    assert b"no longer there" not in run("a.py", "--target", "cuda").stdout
    assert file.read_bytes() == SCRIPT + b'y = torch.zeros(1).to("cuda")\n'


@pytest.mark.parametrize("changes", [("npu",), ("npu", "cuda")], ids=["ported", "undone"])
def test_a_run_that_is_killed_as_it_writes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[str, ...]
) -> None:
    files = [tmp_path / f"{name}.py" for name in "abc"]
    for file in files:
        file.write_bytes(WITH_ITS_OWN + b'z = "npu"\n')
    for target in changes[:-1]:
        run(".", "--target", target)

    def killed(path: str, *rest: object) -> None:
        if path.endswith("b.py"):
            raise SystemExit(9)
        replace_file(path, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr("porter.port_file.replace_file", killed)
        assert run(".", "--target", changes[-1]).returncode == 9
    run(".", "--target", "cuda")
    assert {file.read_bytes() for file in files} == {WITH_ITS_OWN + b'z = "npu"\n'}


def test_a_record_by_the_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.diffsynth-port]\nrecord = "port.jsonl"\n', encoding="utf-8")
    assert round_trip(run, tmp_path / "a.py", SCRIPT) == SCRIPT
    assert (tmp_path / "port.jsonl").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "port.jsonl: there is no such record"),
        (b"hello\n", "port.jsonl: not a record of diffsynth-port"),
        (b'{"tool":"diffsynth-port","record":9}\n', "port.jsonl: a record of version 9"),
        (b'{"tool":"diffsynth-port","record":1}\n{"path":"a.py"}\n', "port.jsonl: the record is damaged in line 2"),
        (b'{"tool":"diffsynth-port","record":1}\n[]\n', "port.jsonl: the record is damaged in line 2"),
    ],
    ids=["missing", "another", "newer", "damaged", "no-object"],
)
def test_a_record_that_cannot_be_used(run: Run, tmp_path: Path, content: bytes | None, says: str) -> None:
    (tmp_path / "a.py").write_bytes(b'x = "npu"\n')
    if content is not None:
        (tmp_path / "port.jsonl").write_bytes(content)
    done = run("a.py", "--target", "cuda", "--record", "port.jsonl")
    assert done.returncode == 2
    assert says in " ".join(done.stderr.decode().split())
    assert (tmp_path / "a.py").read_bytes() == b'x = "npu"\n'


def test_record_and_no_record_exclude_each_other(run: Run, tmp_path: Path) -> None:
    done = run(".", "--target", "npu", "--record", "r", "--no-record")
    assert (done.returncode, b"exclude each other" in done.stderr) == (2, True)
    done = run(".", "--target", "npu", "--record", "nowhere/r")
    assert (done.returncode, b"no such folder" in done.stderr) == (2, True)


# the log itself


def test_the_newest_entry_of_a_file_counts(state: Path, tmp_path: Path) -> None:
    for after in (b"b\n", b"c\n"):
        Record().keep([(str(tmp_path / "a.py"), entry_of(b"a\n", after, ["npu"]))])
    assert Record().entry(str(tmp_path / "a.py")) == entry_of(b"a\n", b"c\n", ["npu"])
    assert Record().entry(str(tmp_path / "b.py")) is None


def test_a_line_that_was_never_finished_is_none(state: Path, tmp_path: Path) -> None:
    Record().keep([(str(tmp_path / "a.py"), entry_of(b"a\n", b"b\n", ["npu"]))])
    (log,) = state.iterdir()
    log.write_bytes(log.read_bytes() + b'{"path":"')
    _log.cache_clear()
    Record().keep([(str(tmp_path / "b.py"), entry_of(b"a\n", b"c\n", ["npu"]))])
    assert [bool(Record().entry(str(tmp_path / name))) for name in ("a.py", "b.py")] == [True, True]


def test_a_damaged_log_is_named(state: Path, tmp_path: Path) -> None:
    Record().keep([(str(tmp_path / "a.py"), entry_of(b"a\n", b"b\n", ["npu"]))])
    (log,) = state.iterdir()
    log.write_bytes(log.read_bytes() + b"{}\n")
    _log.cache_clear()
    with pytest.raises(RecordError, match="damaged in line 3"):
        Record().entry(str(tmp_path / "a.py"))


def test_a_state_folder_that_cannot_be_written_is_no_error(state: Path, tmp_path: Path) -> None:
    state.parent.parent.write_text("a file where the folder should be", encoding="utf-8")
    Record().keep([(str(tmp_path / "a.py"), entry_of(b"a\n", b"b\n", ["npu"]))])
    _log.cache_clear()
    assert Record().entry(str(tmp_path / "a.py")) is None


def _keep_many(folder: Path, number: int) -> None:
    for count in range(100):
        entry = entry_of(b"a\n", b"b\n" * number, ["npu"])
        Record(str(folder / "r.jsonl")).keep([(str(folder / f"{number}-{count}.py"), entry)])
        if count % 25 == 24:
            Record(str(folder / "r.jsonl")).tidy()


def test_runs_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    processes = [Process(target=_keep_many, args=(tmp_path, number)) for number in (1, 2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    _log.cache_clear()
    record = Record(str(tmp_path / "r.jsonl"))
    names = [f"{number}-{count}.py" for number in (1, 2, 3) for count in range(100)]
    assert [name for name in names if record.entry(str(tmp_path / name)) is None] == []
