"""Which scripts are verified, and what their two forms are."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.verify.scripts import NothingToVerify, find_scripts

CUDA = b'from diffsynth.pipelines.wan_video import WanVideoPipeline\npipe = WanVideoPipeline(device="cuda")\n'
NPU = CUDA.replace(b"cuda", b"npu")
NEITHER = CUDA.replace(b'device="cuda"', b"")
BOTH = CUDA + b'other = WanVideoPipeline(device="npu")\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scripts").mkdir()
    return tmp_path / "scripts"


@pytest.mark.parametrize(("text", "cuda", "ported"), [(CUDA, CUDA, NPU), (NPU, CUDA, NPU), (NEITHER, NEITHER, NEITHER)])
def test_both_forms(folder: Path, text: bytes, cuda: bytes, ported: bytes) -> None:
    (folder / "a.py").write_bytes(text)
    (script,) = find_scripts(["scripts/a.py"], None)
    assert (script.cuda, script.ported, script.problem) == (cuda, ported, None)


def test_a_script_that_asks_for_both_devices_has_no_two_forms(folder: Path) -> None:
    (folder / "a.py").write_bytes(NPU + b'if pipe.device.type == "cuda":\n    pass\n')
    (script,) = find_scripts(["scripts"], None)
    assert script.problem == "it names several devices; verify it as it was before it was ported"


def test_a_script_that_does_not_parse_says_where(folder: Path) -> None:
    (folder / "a.py").write_bytes(CUDA + b"def cuda(:\n")
    (script,) = find_scripts(["scripts"], None)
    assert script.problem is not None
    assert script.problem.startswith("it cannot be ported: line 3: ")


def test_in_folders_only_scripts_of_a_pipeline_count(folder: Path) -> None:
    (folder / "a.py").write_bytes(CUDA)
    (folder / "b.py").write_bytes(b'device = "cuda"\n')
    (folder / "c.md").write_bytes(b"```python\n" + CUDA + b"```\n")
    assert [script.shown for script in find_scripts(["scripts"], None)] == ["scripts/a.py"]
    assert [script.shown for script in find_scripts(["scripts/b.py"], None)] == ["scripts/b.py"]
    with pytest.raises(NothingToVerify, match="no such file"):
        find_scripts(["scripts", "nowhere"], None)


def test_its_picture_lies_where_it_lies_in_its_tree(folder: Path) -> None:
    (folder / "wan").mkdir()
    (folder / "wan" / "Wan2.1-a.py").write_bytes(CUDA)
    (inside,) = find_scripts(["scripts"], None)
    (named,) = find_scripts(["scripts/wan/Wan2.1-a.py"], None)
    assert Path(inside.place_in("out", ".png")) == Path("out/wan/Wan2.1-a.png")
    assert Path(named.place_in("out", ".png")) == Path("out/Wan2.1-a.png")
