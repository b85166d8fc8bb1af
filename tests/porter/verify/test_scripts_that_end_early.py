"""Scripts that cannot be verified say why in their row, and the next one runs all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from porter.verify.outcome import Row

UNKNOWN_MODEL = """
from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
WanVideoPipeline.from_pretrained(model_configs=[ModelConfig(model_id="Someone/Else", origin_file_pattern="a.bin")])
"""
MISSPELT = """
from diffsynth.pipelines.wan_video import WanVideoPipeline
WanVideoPipeline(device="cpu")(prompt="a cat", num_frame=81)
"""
NOT_A_NUMBER = """
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
files = ["diffusion_pytorch_model*.safetensors", "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth"]
pipe = WanVideoPipeline.from_pretrained(
    device="cpu",
    model_configs=[ModelConfig(model_id="Wan-AI/Wan2.1-T2V-1.3B", origin_file_pattern=file) for file in files],
)
pipe.dit.head.head.bias.data.fill_(float("nan"))
pipe(prompt="a cat")
"""
NO_NETWORK = """
from PIL import Image
Image.new("RGB", (8, 8)).save("a.png")
"""


@pytest.mark.parametrize(
    ("script", "problems"),
    [
        ("import nowhere", ["every way: line 1: it needs the module nowhere, which is not installed"]),
        (
            "x = 1\nopen('prompts/a.txt')",
            ["every way: line 2: it needs prompts/a.txt, which is not there and cannot be made up"],
        ),
        ("import sys\nsys.exit(3)", ["every way: line 2: it ended itself with exit status 3"]),
        ("raise KeyError('a key')", ["every way: line 1: KeyError: 'a key'"]),
        ("def f(:\n    pass", ["every way: line 1: SyntaxError: invalid syntax (script.py, line 1)"]),
        (
            "import os\nos.kill(os.getpid(), 9)",
            ["every way: its process was ended by SIGKILL; the machine may be out of memory"],
        ),
        ("import os\nos._exit(5)", ["every way: its process ended with exit status 5"]),
        (
            "x = 1",
            [
                "every way: nothing was saved and nothing printed",
                "unedited, redirected and ported: it computed nothing",
            ],
        ),
        (NO_NETWORK, ["unedited, redirected and ported: it computed nothing"]),
        (
            "import urllib.request\nurllib.request.urlopen('http://example.com')",  # a plain program's
            [
                "every way: line 2: URLError: "
                "<urlopen error a trial uses no network, and the script asked for example.com>"
            ],
        ),
        (
            "import socket\nsocket.create_connection(('example.com', 80))",
            [
                "every way: line 2: ConnectionRefusedError: "
                "a trial uses no network, and the script asked for example.com"
            ],
        ),
    ],
)
def test_it_says_why(verify_text: Callable[..., Row], script: str, problems: list[str]) -> None:
    assert verify_text(script + "\n").problems == problems


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (UNKNOWN_MODEL, ["line 3: it needs the weights of Someone/Else, which cannot be made up", "Wan2.1-T2V-1.3B"]),
        (MISSPELT, ["line 3: TypeError: pipe() has no keyword 'num_frame': did you mean 'num_frames'?"]),
        (NOT_A_NUMBER, ["line 9: NotFiniteWarning: ", "latents are NaN or infinite"]),
    ],
)
def test_it_says_what_a_pipeline_cannot_do(verify_text: Callable[..., Row], script: str, words: list[str]) -> None:
    (problem,) = verify_text(script).problems
    for word in words:
        assert word in problem


def test_an_exit_without_a_failure_is_none(verify_text: Callable[..., Row]) -> None:
    row = verify_text(NO_NETWORK + "raise SystemExit\n")
    assert row.ran == 3
    assert row.equal is True


def test_the_output_of_what_failed_is_kept(verify_text: Callable[..., Row]) -> None:
    row = verify_text("print('so far')\nraise ValueError('no')\n")
    assert row.outcomes["ported"].output.startswith("so far\n")
    assert row.outcomes["ported"].output.endswith("ValueError: no\n")


IN_A_THREAD = """import threading, torch
x = torch.ones(3, device="cuda")
def work():
    if {where}:
        raise ValueError("in the thread")
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(float((x * 2).sum()))
"""
ENDED = "an error ended a thread, and the script went on: line 5: ValueError: in the thread"


def test_an_error_that_ends_a_thread_is_named(verify_text: Callable[..., Row]) -> None:
    text = IN_A_THREAD.format(where="x.device.type == 'npu'")
    assert verify_text(text, text.replace('"cuda"', '"npu"')).problems == [f"unedited, redirected and ported: {ENDED}"]
    text = IN_A_THREAD.format(where="True")
    row = verify_text(text, text.replace('"cuda"', '"npu"'))
    assert (row.problems, row.notes) == ([], [f"every way: {ENDED}"])
