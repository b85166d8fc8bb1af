"""Scripts that cannot be verified say why in their row, and the next one runs all the same."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

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
            "import torch\nfrom torch.nn import Newer",
            [
                "every way: line 2: it needs Newer of torch.nn, and the installed torch "
                f"{version('torch')} has none: another version may"
            ],
        ),
        (
            "import torch\ntorch.nn.Newer()",
            [
                "every way: line 2: it needs Newer of torch.nn, and the installed torch "
                f"{version('torch')} has none: another version may"
            ],
        ),
        (
            "import torch\nraise AttributeError('load the model first', name='model', obj=torch)",
            ["every way: line 2: AttributeError: load the model first"],
        ),
        (
            "import torch\ntorch.ops.another.kernel",
            ["every way: line 2: AttributeError: '_OpNamespace' 'another' object has no attribute 'kernel'"],
        ),
        (
            "import PIL\nPIL.PSDraw.PSDraw()",
            ["every way: line 2: AttributeError: module 'PIL' has no attribute 'PSDraw'"],
        ),
        ("raise ModuleNotFoundError('build it first')", ["every way: line 1: ModuleNotFoundError: build it first"]),
        (
            "x = 1\nopen('prompts/a.txt')",
            ["every way: line 2: it needs prompts/a.txt, which is not where it runs and cannot be made up"],
        ),
        ("import sys\nsys.exit(3)", ["every way: line 2: it ended itself with exit status 3"]),
        ("raise KeyError('a key')", ["every way: line 1: KeyError: 'a key'"]),
        ("def f(:\n    pass", ["every way: line 1: SyntaxError: invalid syntax (script.py, line 1)"]),
        (
            "import os\nos.kill(os.getpid(), 9)",
            ["every way: its process was ended by SIGKILL; the machine may be out of memory"],
        ),
        (
            "import os\nos._exit(5)",
            ["every way: its process ended itself with exit status 5 before the script's last line"],
        ),
        (
            "print('loss', 0.5, flush=True)\nimport os\nos._exit(0)",
            ["every way: its process ended itself with exit status 0 before the script's last line"],
        ),
        ("import sys\nsys.exit('no pictures')", ["every way: line 2: it ended itself: no pictures"]),
        (
            "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('data')\nparser.parse_args()",
            [
                "every way: line 4: it ended itself with exit status 2: "
                "script.py: error: the following arguments are required: data"
            ],
        ),
        ("name = input()", ["every way: line 1: it asks for a line of standard input, and there is none in a trial"]),
        (
            "import os\nos.remove(__file__.replace('script.py', 'mine.txt'))\nopen('/precious.txt', 'w')",
            [
                "every way: line 3: it would write to /precious.txt, outside of the folder that it is tried in, and a "
                "trial changes nothing of its user's: let it write to a relative path"
            ],
        ),
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
def test_it_says_why(verify_text: Callable[..., Row], tmp_path: Path, script: str, problems: list[str]) -> None:
    (tmp_path / "mine.txt").write_text("of the user")
    assert verify_text(script + "\n").problems == problems
    assert (tmp_path / "mine.txt").exists()


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


COMPUTES = 'import torch\ny = torch.nn.Linear(4, 4).to("cuda")(torch.ones(2, 4, device="cuda"))\n'


def both(script: str) -> tuple[str, str]:
    return script, script.replace('"cuda"', '"npu"')


@pytest.mark.parametrize(
    ("script", "saved", "notes"),
    [
        pytest.param(
            "import atexit\n@atexit.register\ndef bye():\n    torch.save({'a': 0.5}, 'a.pt')\n",
            ["a.pt"],
            [],
            id="at its end",
        ),
        pytest.param(
            "import threading, time\ndef late():\n    time.sleep(0.2)\n    torch.save({'a': 0.5}, 'a.pt')\n"
            "threading.Thread(target=late).start()\n",
            ["a.pt"],
            [],
            id="a thread that outlives its last line",
        ),
        pytest.param(
            "from concurrent.futures import ThreadPoolExecutor\n"
            "ThreadPoolExecutor(1).submit(torch.save, {'a': 0.5}, 'a.pt')\n",
            ["a.pt"],
            [],
            id="a pool that nobody shuts down",
        ),
        pytest.param(
            "open('a.png', 'w').write('no picture')\n",
            ["a.png"],
            ["a.png is not what its name says, or cannot be read: its bytes are compared"],
            id="a file that is not what its name says",
        ),
        pytest.param(
            "import os\nplace = os.path.dirname(__file__) + '/out'\nos.mkdir(place)\n"
            "torch.save({'a': 0.5}, place + '/a.pt')\n",
            ["/out/a.pt"],
            [],
            id="beside the script",
        ),
        pytest.param(
            "import os\nchild = os.fork()\nif child: os.waitpid(child, 0)\nprint(0.5)\n",
            [],
            [
                "it starts processes by os.fork: what they compute, print and save is not seen (let a launcher start "
                "them, such as torchrun, or have it run in one process)"
            ],
            id="a process that is forked off, and comes to the end too",
        ),
        pytest.param(
            "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], check=True)\nprint(0.5)\n",
            [],
            [
                "it starts processes by subprocess: what they compute, print and save is not seen (let a launcher "
                "start them, such as torchrun, or have it run in one process)"
            ],
            id="another Python",
        ),
        pytest.param(
            "import subprocess\nsubprocess.Popen(['sleep', '300'], start_new_session=True)\nprint(0.5)\n",
            [],
            [],
            id="a process that is left behind",
        ),
        pytest.param(
            "for i in range(20_100):\n    print(i, i * 0.5)\nprint('x' * 10_000)\n",
            [],
            [
                "it printed 20,102 lines, of which the first and the last 10,000 count",
                "of lines that it printed the first 2,000 characters count",
            ],
            id="a great deal of output",
        ),
    ],
)
def test_it_is_followed_to_its_end(
    verify_text: Callable[..., Row], script: str, saved: list[str], notes: list[str]
) -> None:
    row = verify_text(*both(COMPUTES + script))
    assert row.problems == []
    assert row.outcomes["ported"].notes == notes
    names = [one["name"] for one in row.outcomes["ported"].saved]
    assert len(names) == len(saved)
    assert all(name.endswith(end) for name, end in zip(names, saved, strict=True))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("np.array([kind])", "saved other words than the reference in a.npy"),
        ("np.zeros(3, 'float32' if kind == 'npu' else 'float64')", "saved float32 where the reference saved float64"),
        ("np.array([1 + (2j if kind == 'npu' else 3j)])", "saved other arrays than the reference (100.0% of"),
        ("np.array([2**60 + (kind == 'npu')])", "saved other arrays than the reference (100.0% of"),
    ],
)
def test_arrays_of_any_kind_are_told_apart(verify_text: Callable[..., Row], value: str, problem: str) -> None:
    row = verify_text(*both(f"{COMPUTES}import numpy as np\nkind = y.device.type\nnp.save('a.npy', {value})\n"))
    (found,) = row.problems
    assert problem in found


def test_other_words_are_a_note_beside_figures(verify_text: Callable[..., Row]) -> None:
    row = verify_text(*both(COMPUTES + "print('a', 'cat' if y.is_cpu else 'dog')\nprint(0.5)\n"))
    assert row.problems == []
    assert row.notes[0] == (
        "unedited, redirected and ported: printed 'a dog' where the reference printed 'a cat'; words do not count here"
    )
