"""Files of either format give the tensors that were saved, into any memory, and say what is wrong with them."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffsynth.core.loader import Checkpoint, CheckpointError, DictSource, TensorHeader, file_source, load_state_dict
from diffsynth.core.loader.checkpoint import safetensors_spans

Save = Callable[[dict, Path], None]


def save_legacy(state_dict: dict, path: Path) -> None:
    torch.save(state_dict, path, _use_new_zipfile_serialization=False)


FORMATS = {
    "safetensors": (save_file, "model.safetensors"),
    "pth": (torch.save, "model.pth"),
    "legacy": (save_legacy, "model.bin"),
}


@pytest.fixture(params=FORMATS)
def file_format(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def saved(file_format: str, tmp_path: Path) -> Callable[[dict], Path]:
    """Saves a dict in each format."""
    save, name = FORMATS[file_format]

    def saved_as(state_dict: dict) -> Path:
        save(state_dict, tmp_path / name)
        return tmp_path / name

    return saved_as


@pytest.fixture
def tensors(file_format: str) -> dict[str, Tensor]:
    """One tensor of each kind; torch's old format is older than the 8-bit floating-point types."""
    return {key: value for key, value in example().items() if file_format != "legacy" or "float8" not in key}


@pytest.fixture
def small_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer of a hundred bytes, so that everything is read in pieces."""
    monkeypatch.setattr(file_source, "SCRATCH_BYTES", 100)
    monkeypatch.setattr(file_source, "CALL_BYTES", 70)
    monkeypatch.setattr(file_source, "_of_thread", type(file_source._of_thread)())


def same(left: Tensor, right: Tensor) -> bool:
    """Whether all bits are."""
    left, right = left.contiguous().reshape(-1), right.contiguous().reshape(-1)
    return left.dtype == right.dtype and torch.equal(left.view(torch.uint8), right.view(torch.uint8))


def example() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(40, 30, generator=generator)
    return {
        "float32": normal,
        "bfloat16": normal.bfloat16(),
        "float16": normal.half(),
        "float64": normal.double(),
        "float8_e4m3fn": normal.to(torch.float8_e4m3fn),
        "float8_e5m2": normal.to(torch.float8_e5m2),
        "int64": torch.arange(-50, 50),
        "uint8": torch.arange(200, dtype=torch.uint8),
        "bool": normal > 0,
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
    }


@pytest.mark.usefixtures("small_scratch")
def test_every_type_as_it_was_saved(saved: Callable[[dict], Path], tensors: dict[str, Tensor]) -> None:
    source = Checkpoint(saved(tensors))
    assert source.headers == {key: TensorHeader(tuple(value.shape), value.dtype) for key, value in tensors.items()}
    for key, value in tensors.items():
        assert same(source.read(key), value), key


@pytest.mark.usefixtures("small_scratch")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_conversion_gives_what_torch_gives(
    saved: Callable[[dict], Path], tensors: dict[str, Tensor], dtype: torch.dtype
) -> None:
    source = Checkpoint(saved(tensors))
    for key, value in tensors.items():
        assert same(source.read(key, dtype), value.to(dtype)), key


@pytest.mark.usefixtures("small_scratch")
def test_memory_that_is_not_contiguous_is_filled(saved: Callable[[dict], Path], tensors: dict[str, Tensor]) -> None:
    source = Checkpoint(saved(tensors))
    out = torch.zeros(30, 80)[:, ::2].t()
    source.read_into("float32", out)
    assert torch.equal(out, tensors["float32"])


@pytest.mark.usefixtures("small_scratch")
def test_views_and_shared_storages_of_a_pth(tmp_path: Path) -> None:
    base = torch.arange(2 * 3 * 40.0).reshape(2, 3, 40)
    tensors = {
        "base": base,
        "rows": base[1, 1:],
        "transposed": base.permute(2, 0, 1),
        "every_third": base[:, ::2, ::3],
        "expanded": base[0, 0, :1].expand(60),
        "cropped": base[:, :, 5:9],
        "parameter": torch.nn.Parameter(base[0]),
    }
    torch.save(tensors, tmp_path / "views.pth")
    source = Checkpoint(tmp_path / "views.pth")
    for key, value in tensors.items():
        assert same(source.read(key), value.detach()), key
        assert same(source.read(key, torch.float16), value.detach().half()), key


@pytest.mark.usefixtures("small_scratch")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_are_those_of_the_whole(
    saved: Callable[[dict], Path], tensors: dict[str, Tensor], dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.save({"turned": torch.randn(7, 30).t()}, tmp_path / "turned.pth")
    source = Checkpoint([saved(tensors), tmp_path / "turned.pth"])
    for key in source.headers:
        whole = source.read(key, dtype).flatten()
        part = source.parts(key)
        for start in range(0, whole.numel(), 100):
            out = torch.empty_like(whole[start : start + 100])
            part(start, out)
            assert same(out, whole[start : start + 100]), (key, start)


def test_parts_of_a_tensor_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(2)}, path)
    source = file_source.FileSource(str(path), safetensors_spans(str(path)))
    with pytest.raises(CheckpointError, match=r"model\.safetensors has no tensor 'v'"):
        source.parts("v")


def test_a_tensor_larger_than_the_buffer(tmp_path: Path) -> None:
    value = torch.randn(3, file_source.SCRATCH_BYTES // 4 + 7)
    save_file({"w": value}, tmp_path / "large.safetensors")
    assert same(Checkpoint(tmp_path / "large.safetensors").read("w", torch.bfloat16), value.bfloat16())


def test_many_threads_read_at_once(saved: Callable[[dict], Path]) -> None:
    tensors = {f"w{number}": torch.full((50_000,), float(number)) for number in range(16)}
    source = Checkpoint(saved(tensors))
    jobs = [(key, dtype) for key in tensors for dtype in (torch.float32, torch.bfloat16)] * 4
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda job: source.read(*job), jobs))
    assert all(same(value, tensors[key].to(dtype)) for (key, dtype), value in zip(jobs, values, strict=True))


def test_many_threads_where_files_have_but_one_position(
    saved: Callable[[dict], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    test_many_threads_read_at_once(saved)


def test_the_file_may_be_deleted_after_reading(saved: Callable[[dict], Path], tensors: dict[str, Tensor]) -> None:
    path = saved(tensors)
    read = load_state_dict(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    path.unlink()
    assert all(same(read[key], value) for key, value in tensors.items())


def test_opening_and_reading_twice_gives_memory_of_its_own(
    saved: Callable[[dict], Path], tensors: dict[str, Tensor]
) -> None:
    source = Checkpoint(saved(tensors))
    source.read("float32").zero_()
    assert same(source.read("float32"), tensors["float32"])


def test_shards_are_one(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "1.safetensors")
    torch.save({"b": torch.ones(3)}, tmp_path / "2.pth")
    source = Checkpoint([tmp_path / "1.safetensors", tmp_path / "2.pth"])
    assert list(source.headers) == ["a", "b"]
    assert torch.equal(source.read("b"), torch.ones(3))
    assert source.where("b") == str(tmp_path / "2.pth")


def test_shards_with_the_same_tensor_are_refused(tmp_path: Path) -> None:
    for name in "12":
        save_file({"a": torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=r"'a' is in .*1\.safetensors and in .*2\.safetensors"):
        Checkpoint([tmp_path / "1.safetensors", tmp_path / "2.safetensors"])


def test_settings_beside_the_weights_are_left_out(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "step": 3, "settings": {"lr": 0.1}}, tmp_path / "model.pth")
    assert list(Checkpoint(tmp_path / "model.pth").headers) == ["w"]


@pytest.mark.parametrize("wrapper", ["state_dict", "module", "model_state"])
def test_weights_under_a_wrapper(tmp_path: Path, wrapper: str) -> None:
    torch.save({wrapper: {"w": torch.ones(2)}, "epoch": 3}, tmp_path / "wrapped.ckpt")
    assert torch.equal(Checkpoint(tmp_path / "wrapped.ckpt").read("w"), torch.ones(2))


def test_a_compressed_archive_and_one_of_the_other_byte_order(tmp_path: Path) -> None:
    tensors = {"w": torch.arange(6.0)}
    torch.save(tensors, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain:
        records = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(tmp_path / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as compressed:
        for name, content in records.items():
            compressed.writestr(name, content)
    assert same(Checkpoint(tmp_path / "compressed.pth").read("w"), tensors["w"])
    other = {"little": "big", "big": "little"}[sys.byteorder]
    with zipfile.ZipFile(tmp_path / "swapped.pth", "w") as swapped:
        for name, content in records.items():
            if name.endswith("/byteorder"):
                content = other.encode()
            if "/data/" in name and not name.endswith("serialization_id"):
                content = tensors["w"].numpy().byteswap().tobytes()
            swapped.writestr(name, content)
    assert same(Checkpoint(tmp_path / "swapped.pth").read("w"), tensors["w"])


# What is refused, and what the message says


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short(tmp_path: Path, name: str) -> None:
    save, file_name = FORMATS[name]
    path = tmp_path / file_name
    save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=rf"{path}.*(damaged|not fully downloaded).*download it again"):
        Checkpoint(path)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\0" * 64])
def test_a_file_that_is_something_else(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{tmp_path / name}.*download it again"):
        Checkpoint(tmp_path / name)


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is a Git LFS pointer.*git lfs pull"):
        Checkpoint(path)


@pytest.mark.parametrize("save", [torch.save, save_legacy])
def test_pickled_objects_are_not_loaded(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "trained.pth"
    save({"w": torch.zeros(2), "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(CheckpointError, match=rf"{path}"):
        Checkpoint(path)


def test_the_class_of_a_pickled_object_is_named(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2), "args": argparse.Namespace(lr=1)}, tmp_path / "trained.pth")
    with pytest.raises(CheckpointError, match=r"holds more than tensors \(argparse\.Namespace\).*run code"):
        Checkpoint(tmp_path / "trained.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "holds a list: expected a state dict"),
        ({"epoch": 3}, "holds no tensors by name, but epoch: expected a state dict, or one under state_dict, module"),
        ({}, "holds no tensors by name, but an empty dict"),
        ({"model": {"w": torch.zeros(2)}}, "holds no tensors by name, but model"),
        ({"w": torch.zeros(2), "ema": {"w": torch.zeros(2)}}, r"holds tensors and also dicts \(ema\)"),
        ({"w": torch.eye(3).to_sparse()}, "'w' is no plain tensor"),
    ],
)
def test_a_pth_that_is_no_state_dict(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=rf"odd\.pth:? {message}"):
        Checkpoint(tmp_path / "odd.pth")


def test_a_type_that_torch_has_not(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match=r"odd\.safetensors: 'w' is of type F8_E8M0, which is not supported"):
        Checkpoint(tmp_path / "odd.safetensors")


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    for path, message in [
        (tmp_path / "absent.pth", "does not exist"),
        (tmp_path, "is a folder: name the files in it"),
        (tmp_path / "model.safetensors.index.json", r"is no checkpoint: expected \.safetensors, \.pth"),
    ]:
        with pytest.raises(CheckpointError, match=f"{path} {message}"):
            Checkpoint(path)
    with pytest.raises(CheckpointError, match="no file was given"):
        Checkpoint([])


def test_asking_for_what_is_not_there(saved: Callable[[dict], Path], tensors: dict[str, Tensor]) -> None:
    path = saved(tensors)
    source = Checkpoint(path)
    with pytest.raises(CheckpointError, match=rf"{path} has no tensor 'missing'"):
        source.read("missing")
    with pytest.raises(CheckpointError, match=rf"{path}: 'float32' is \(40, 30\), and \(30, 40\) was expected"):
        source.read_into("float32", torch.empty(30, 40))


@pytest.mark.parametrize("name", ["safetensors", "pth"])
def test_a_file_cut_short_after_it_was_opened(tmp_path: Path, name: str) -> None:
    save, file_name = FORMATS[name]
    save({"w": torch.zeros(5000)}, tmp_path / file_name)
    source = Checkpoint(tmp_path / file_name)
    with open(tmp_path / file_name, "r+b") as file:
        file.truncate(9000)
    with pytest.raises(CheckpointError, match=rf"{file_name} ends within 'w'"):
        source.read("w")


# load_state_dict and tensors in memory


def test_load_state_dict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"w": torch.ones(3), "b": torch.ones(2)}, tmp_path / "a.safetensors")
    torch.save({"n": torch.ones(1)}, tmp_path / "b.pth")
    read = load_state_dict([tmp_path / "a.safetensors", tmp_path / "b.pth"], torch_dtype=torch.bfloat16, verbose=1)
    assert {key: value.dtype for key, value in read.items()} == dict.fromkeys("wbn", torch.bfloat16)
    assert "a.safetensors" in capsys.readouterr().out
    with pytest.raises(ValueError, match="pin_memory is for host memory, and device is 'meta'"):
        load_state_dict(tmp_path / "b.pth", device="meta", pin_memory=True)
    with pytest.raises(ValueError, match=r"device 'gpuu' is not known.*cpu"):
        load_state_dict(tmp_path / "b.pth", device="gpuu")


def test_a_dict_as_a_source() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    source = DictSource({"w": weight, "step": 4})
    assert source.headers == {"w": TensorHeader((2, 3), torch.float32)}
    read = source.read("w", torch.bfloat16)
    assert read.dtype == torch.bfloat16
    assert not read.requires_grad
    read = source.read("w")
    read.zero_()
    assert torch.equal(weight, torch.ones(2, 3))
    with pytest.raises(CheckpointError, match="the state_dict holds no tensors"):
        DictSource({"step": 4})
    with pytest.raises(CheckpointError, match="the state_dict has no tensor 'b'"):
        source.read("b")


def test_what_torch_saved_to_a_buffer_reads_alike(tmp_path: Path) -> None:
    """The archive's inner folder is then called `archive`, whatever the file is called."""
    buffer = io.BytesIO()
    torch.save(example(), buffer)
    (tmp_path / "from_buffer.pth").write_bytes(buffer.getvalue())
    source = Checkpoint(tmp_path / "from_buffer.pth")
    assert all(same(source.read(key), value) for key, value in example().items())
