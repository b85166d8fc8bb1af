"""DP413: devices in configuration files."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, check_silent, check_transformed, ported

CODE = "DP413"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("c.yaml", "device: {d}\n"),
        ("c.yml", 'device: "{d}:0"  # the first\n'),
        ("c.yaml", "a: [1, {{vae_device: '{d}'}}]\n"),
        ("c.yaml", "devices:\n  - {d}:0\n  - {d}:1\n"),
        ("c.yaml", "device_map:\n  unet: {d}:0\n  vae: cpu\n"),
        ("c.yaml", 'devices: "{d}:0,{d}:1"\n'),
        ("c.yaml", "# first\n---\ndevice: {d}\n---\nx: 1\n"),
        ("c.yaml", "é: ü\ndevice: {d}\n"),
        ("c.yaml", "dist_backend: {b}\n"),
        ("c.yaml", "a: &x\n  device: {d}\nb: *x\n"),
        ("c.yaml", "device: &x {d}\nb: *x\n"),
        ("c.yaml", "device: &cuda {d}\nb: *cuda\n"),
        ("c.yaml", "x: &x {d}\ndevice: *x\n"),
        ("c.yaml", "device: &x !!str '{d}:0' # c\n"),
        ("c.yaml", "device: &x\n  {d}\n"),
        ("c.yaml", "device: >-\n  {d}:1\n"),
        ("c.yaml", "devices: |\n  {d}:0,{d}:1\n"),
        ("c.json", '{{"device": "{d}"}}\n'),
        ("c.json", '{{\n  "n": 1.0, "l": [{{"offload_device" : "{d}:1"}}]\n}}\n'),
        ("c.toml", 'device = "{d}"  # the first\n'),
        ("c.toml", "[model]\ndevice='{d}:0'\n[[run]]\nx = 1\n"),
        ("c.toml", 'a = {{device = "{d}", n = 1}}\n'),
        ("c.toml", 'devices = [\n  "{d}:0", # a\n  "cpu",\n]\n'),
    ],
)
def test_renamed(name: str, form: str) -> None:
    check_transformed(name, form.format(d="cuda", b="nccl"), form.format(d="npu", b="hccl"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "prompt: cuda\n"),
        ("c.yaml", "device_type_name: {a: 1}\nname: cuda\n"),
        ("c.yaml", "# device: cuda\n"),
        ("c.yaml", "device: cpu\n"),
        ("c.yaml", "device:\n  name: cuda\n"),
        ("c.yaml", "device: npu\n"),
        ("c.yaml", "device: cuda  # port: ignore\n"),
        ("c.json", '{"title": "cuda"}\n'),
        ("c.toml", 'title = "device = cuda"\n'),
        ("c.toml", '# device = "cuda"\n'),
        ("c.yaml", "use_cuda: true\n"),
    ],
)
def test_left_alone(name: str, text: str) -> None:
    check_silent(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "{% if fast %}\nvae_device: cuda\n"),
        ("c.json", '{\n  // the device\n  "device": "cuda"\n}\n'),
        ("c.toml", 'device = \nvae_device = "cuda"\n'),
        ("c.yaml", "x:\n\tdevice: cuda\n"),
    ],
)
def test_one_that_cannot_be_read_is_reported(name: str, text: str) -> None:
    result = ported(name, text)
    assert result.data.decode() == text
    assert [one.code for one in result.findings] == ["DP418"]


@pytest.mark.parametrize(
    "text",
    [
        "device: &x cuda\nprompt: *x\n",
        "title: &x cuda\ndevice: *x\n",
        'device: "\\x63uda"  # cuda\n',
    ],
)
def test_what_is_a_device_and_something_else_is_reported(text: str) -> None:
    check_reported("c.yaml", text, CODE, "warning")


@pytest.mark.parametrize("text", ["x: &x cuda\nprompt: *x\n", "name: &cuda 1\n", "prompt: &x cuda\ntitle: *x\n"])
def test_aliases_of_what_is_no_device(text: str) -> None:
    assert CODE not in {one.code for one in ported("c.yaml", text).findings}


@pytest.mark.parametrize("text", ["device: &x cuda\n", "device: >\n  cuda\n", "device: &x\n  cuda\n"])
def test_the_place_is_that_of_the_text_alone(text: str) -> None:
    (one,) = ported("c.yaml", text).findings
    line = text.splitlines()[one.line - 1]
    assert (line[one.column - 1 : one.end_column - 1], one.line) == ("cuda", one.end_line)


def test_a_target_without_a_second_device_or_a_backend() -> None:
    check_reported("c.yaml", "device: cuda:1\n", CODE, "error", target="mps")
    check_reported("c.yaml", "backend: nccl\n", CODE, "error", target="mps")
    check_transformed("c.yaml", "device: cuda:1\n", "device: xpu:1\n", "xpu")


def test_nesting_just_below_the_limit() -> None:
    text = "[" * 90 + '{"device": "cuda"}' + "]" * 90
    assert b'"npu"' in ported("c.json", text).data


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yaml", "devices: [cuda, npu]\n"),
        ("c.yaml", "devices:\n  - cuda:0\n  - npu:0\n"),
        ("c.yaml", 'devices: "cuda,npu"\n'),
        ("c.json", '{"devices": ["npu", "cuda"]}\n'),
        ("c.toml", 'devices = ["cuda", "npu"]\n'),
        ("c.yaml", "backends:\n  cuda: nccl\n  npu: hccl\n"),
    ],
)
def test_a_list_or_table_of_both_devices_stays(name: str, text: str) -> None:
    result = ported(name, text)
    assert result.data.decode() == text
    assert "DP116" in {finding.code for finding in result.findings}


def test_a_device_beside_such_a_list_is_ported() -> None:
    result = ported("c.yaml", "devices: [cuda, npu]\ndevice: cuda\nothers: [cuda, cpu]\n")
    assert result.data.decode() == "devices: [cuda, npu]\ndevice: npu\nothers: [cuda, cpu]\n"
