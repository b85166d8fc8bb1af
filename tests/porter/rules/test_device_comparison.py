"""DP102: a device that is compared with, is a parameter's default, or has its own entry."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import (
    befores,
    check_noop,
    check_reported,
    check_text_for_people,
    check_transformed,
    plain,
    ported,
)

QUESTIONS = [
    pytest.param('x = d == "cuda"', 'x = d == "npu"', id="equal"),
    pytest.param('x = d != "cuda:0"', 'x = d != "npu:0"', id="not-equal"),
    pytest.param('x = "cuda" == d', 'x = "npu" == d', id="the-other-way-round"),
    pytest.param('x = device.type == "cuda"', 'x = device.type == "npu"', id="type"),
    pytest.param('x = a.device == f"cuda:{r}"', 'x = a.device == f"npu:{r}"', id="f-string"),
    pytest.param('x = a.device == "cuda:" + str(r)', 'x = a.device == "npu:" + str(r)', id="sum"),
    pytest.param('x = d.split(":")[0] == "cuda"', 'x = d.split(":")[0] == "npu"', id="first-part"),
    pytest.param('x = c["device"] == "cuda"', 'x = c["device"] == "npu"', id="entry-of-settings"),
    pytest.param('x = c.get("device") == "cuda"', 'x = c.get("device") == "npu"', id="looked-up-setting"),
    pytest.param('x = d in ("cuda", "cpu")', 'x = d in ("npu", "cpu")', id="in-tuple"),
    pytest.param('x = d not in ["cuda"]', 'x = d not in ["npu"]', id="not-in-list"),
    pytest.param('x = d.type in {"cuda", "cpu"}', 'x = d.type in {"npu", "cpu"}', id="in-set"),
    pytest.param('x = "cuda" in d', 'x = "npu" in d', id="in-the-device"),
    pytest.param('x = "cuda" in str(device)', 'x = "npu" in str(device)', id="in-its-text"),
    pytest.param('x = d.startswith("cuda")', 'x = d.startswith("npu")', id="startswith"),
    pytest.param('x = d.startswith(("cuda", "cpu"))', 'x = d.startswith(("npu", "cpu"))', id="startswith-several"),
    pytest.param('x = d == "cuda" or d.startswith("cuda:")', 'x = d == "npu" or d.startswith("npu:")', id="with-colon"),
    pytest.param('x = d.removeprefix("cuda:")', 'x = d.removeprefix("npu:")', id="removeprefix"),
    pytest.param('x = backend == "nccl"', 'x = backend == "hccl"', id="backend"),
    pytest.param('x = dist.get_backend() == "nccl"', 'x = dist.get_backend() == "hccl"', id="backend-of-the-group"),
    pytest.param('x = b in ("nccl", "gloo")', 'x = b in ("hccl", "gloo")', id="backend-in-tuple"),
    pytest.param('def f(device="cuda"): ...', 'def f(device="npu"): ...', id="default"),
    pytest.param(
        'def f(a, device: str = "cuda:0"): ...', 'def f(a, device: str = "npu:0"): ...', id="default-annotated"
    ),
    pytest.param('def f(*, device="cuda"): ...', 'def f(*, device="npu"): ...', id="default-of-a-keyword"),
    pytest.param('def f(device="cuda", /): ...', 'def f(device="npu", /): ...', id="default-by-position"),
    pytest.param('async def f(device="cuda"): ...', 'async def f(device="npu"): ...', id="default-async"),
    pytest.param('f = lambda device="cuda": device', 'f = lambda device="npu": device', id="default-of-a-lambda"),
    pytest.param('def f(devices=("cuda", "cpu")): ...', 'def f(devices=("npu", "cpu")): ...', id="default-tuple"),
    pytest.param('def f(backend="nccl"): ...', 'def f(backend="hccl"): ...', id="default-backend"),
    pytest.param('b = {"cuda": "nccl", "cpu": "gloo"}', 'b = {"npu": "hccl", "cpu": "gloo"}', id="entry-backend"),
    pytest.param('o = {"cuda": "cuda", "cpu": "cpu"}', 'o = {"npu": "npu", "cpu": "cpu"}', id="entry-option"),
    pytest.param('o = {"cuda": "cuda:0"}', 'o = {"npu": "npu:0"}', id="entry-with-number"),
    pytest.param('m = {"cuda:0": "cuda:1"}', 'm = {"npu:0": "npu:1"}', id="entry-device-map"),
    pytest.param(
        """
        match device.type:
            case "cuda" | "cpu":
                pass
            case ("cuda", n) if n == "cuda":
                pass
        """,
        """
        match device.type:
            case "npu" | "cpu":
                pass
            case ("npu", n) if n == "npu":
                pass
        """,
        id="match",
    ),
]


@pytest.mark.parametrize(("before", "after"), QUESTIONS)
def test_renamed_in_a_file_that_does_not_name_the_target(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize("before", [pytest.param(case.values[0], id=case.id) for case in QUESTIONS])
@pytest.mark.parametrize("target", ["npu", "musa"])
def test_reported_in_a_file_that_names_it(before: str, target: str) -> None:
    text = f'other = "{target}"\n{plain(before)}'
    check_noop(text, target)
    findings = [finding for finding in ported(text, target).findings if finding.code == "DP102"]
    assert findings
    assert {finding.severity for finding in findings} == {"note"}


@pytest.mark.parametrize(
    "naming",
    [
        pytest.param('x = "npu:0"', id="numbered"),
        pytest.param("import torch_npu", id="package"),
        pytest.param("from torch_npu.contrib import transfer_to_npu", id="part-of-the-package"),
        pytest.param("import torch.npu", id="module"),
        pytest.param("x = torch.npu.is_available()", id="attribute"),
        pytest.param("x.npu()", id="method"),
        pytest.param("x = y.is_npu", id="flag"),
    ],
)
def test_what_names_the_target(naming: str) -> None:
    finding = check_reported(f'{naming}\nif d == "cuda": pass\n', "DP102", "note")
    assert "already names npu" in finding.message


@pytest.mark.parametrize(
    "naming",
    [
        pytest.param("# or npu", id="comment"),
        pytest.param('print("an npu")', id="sentence"),
        pytest.param("input_video = 1", id="part-of-a-name"),
        pytest.param("npu = 1", id="variable"),
        pytest.param('"npus"', id="another-word"),
        pytest.param("from diffsynth.core.device.npu_compatible_device import get_device_name", id="helper"),
    ],
)
def test_what_does_not_name_the_target(naming: str) -> None:
    check_transformed(f'{naming}\nx = d == "cuda"', f'{naming}\nx = d == "npu"')


def test_a_file_that_names_the_target_still_gets_its_devices_renamed() -> None:
    check_transformed(
        """
        if device.type == "npu":
            load(device="cpu")
        load(device="cuda")
        """,
        """
        if device.type == "npu":
            load(device="cpu")
        load(device="npu")
        """,
        one_way="the file named both devices before",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('x = name == "cuda"', id="name"),
        pytest.param('x = self.prompt != "cuda"', id="prompt"),
        pytest.param('x = c["title"] == "cuda"', id="title"),
        pytest.param('x = "cuda" in line', id="in-line"),
        pytest.param('x = "cuda" in text.lower()', id="in-text"),
        pytest.param('x = "cuda" in sys.modules', id="in-modules"),
        pytest.param('x = name.startswith("cuda")', id="name-startswith"),
        pytest.param('x = "cuda".startswith(d)', id="asked-itself"),
        pytest.param('x = d in ("cuda", "linux")', id="beside-another-word"),
        pytest.param("x = d == cuda", id="variable"),
        pytest.param('x = d == "cuda_home"', id="another-word"),
        pytest.param('x = d == "CUDA"', id="capitals"),
        pytest.param('x = framework == "nccl"', id="backend-as-text"),
        pytest.param('def f(name="cuda"): ...', id="default-of-a-name"),
        pytest.param('def f(cuda="cpu"): ...', id="parameter"),
        pytest.param('def f(d: "cuda"): ...', id="annotation"),
        pytest.param('o = {"name": "cuda"}', id="entry-of-a-name"),
        pytest.param('match name:\n    case "cuda": pass', id="match-name"),
        pytest.param("match device:\n    case cuda: pass", id="match-anything"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)
    assert [finding for finding in ported(text).findings if finding.code != "DP211"] == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('m = {"cuda": 3, "cpu": 1}', id="key"),
        pytest.param('m = {"cuda": load}', id="key-of-a-function"),
        pytest.param('m = {"cuda": "fast"}', id="key-of-another-word"),
        pytest.param('x = stats["cuda"]', id="index"),
        pytest.param('stats["cuda:0"] = 1', id="index-set"),
        pytest.param('torch.load(p, map_location={"cuda:0": "cpu"})', id="where-a-checkpoint-was-saved"),
    ],
)
def test_a_key_is_reported_and_stays(text: str) -> None:
    assert "keys are left" in check_reported(text, "DP102", "note").message


@pytest.mark.parametrize("text", ['x = device[:4] == "cuda"', 'x = "cuda" != str(device)[0:4]'])
def test_a_slice_is_reported_and_stays(text: str) -> None:
    assert check_reported(text, "DP102", "warning").way_out == 'compare with .startswith("npu")'


def test_where_a_checkpoint_was_saved_stays_beside_where_it_goes() -> None:
    check_transformed(
        'torch.load(p, map_location={"cuda:0": "cuda:1"})',
        'torch.load(p, map_location={"cuda:0": "npu:1"})',
    )
    check_transformed(
        'map_location = {"cuda:%d" % 0: "cuda:%d" % rank}',
        'map_location = {"cuda:%d" % 0: "npu:%d" % rank}',
    )


def test_a_backend_that_the_target_has_no_pair_for_is_an_error() -> None:
    check_reported('x = backend == "nccl"', "DP102", "error", "mps")


@pytest.mark.parametrize("before", befores(QUESTIONS))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)


@pytest.mark.parametrize(
    "text",
    [
        'torch.load(p, map_location={"cuda:0": device})',
        'map_location = {"cuda:0": device, "cuda:1": device}',
    ],
)
def test_the_tag_of_a_checkpoint_is_an_error(text: str) -> None:
    found = [one for one in ported(text).findings if one.code == "DP102"]
    assert {one.severity for one in found} == {"error"}
    check_noop(text)


@pytest.mark.parametrize(
    "text", ['torch.load(p, map_location={"cuda:0": device, "npu:0": device})', 'load(p, names={"cuda:0": device})']
)
def test_a_map_that_holds_the_new_tag_too(text: str) -> None:
    assert "error" not in [one.severity for one in ported(text).findings if one.code == "DP102"]


TEXTS = 'EXAMPLES = ["air/main.py --num-steps=1 --cuda"]\n'


@pytest.mark.parametrize("question", ['"cuda" in example', '"cuda" not in example.split()', '"cuda" in (a or b)'])
def test_a_word_that_is_looked_for_in_texts_of_the_file_is_left_to_a_person(question):
    check_reported(f"{TEXTS}x = {question}", "DP102", "warning")


@pytest.mark.parametrize(
    "question",
    [
        '"cuda" in self.device',
        '"cuda" in str(x.device)',
        '"cuda:0" in example',
        '"cuda" in (a.device, x.device)',
        'k == "cuda"',
    ],
)
def test_what_surely_is_a_device_is_renamed_beside_such_texts(question):
    assert ported(f"{TEXTS}x = {question}").text == f"{TEXTS}x = {question.replace('cuda', 'npu')}"
