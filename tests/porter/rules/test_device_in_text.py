"""DP115: a device within a longer string."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import check_noop, check_reported, check_transformed, ported

CODE = "DP115"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('run(["a.py", "--device=cuda"])', 'run(["a.py", "--device=npu"])'),
        ("cmd += ['--vae-device=cuda:1']", "cmd += ['--vae-device=npu:1']"),
        ('main(["-device=cuda"])', 'main(["-device=npu"])'),
    ],
)
def test_an_option_is_renamed(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        'cmd = "python a.py --device cuda"',
        'os.system("python a.py --device=cuda:0 --fast")',
        'subprocess.run(f"python a.py --device cuda --rank {r}", shell=True)',
        'x = \'{"device": "cuda"}\'',
        'json.loads(\'{"n": 1, "vae_device": "cuda:1"}\')',
    ],
)
def test_a_command_or_json_is_reported(text: str) -> None:
    check_reported(text, CODE, "warning")


@pytest.mark.parametrize(
    "text",
    [
        'print("python a.py --device cuda")',
        'raise ValueError("pass --device cuda")',
        'parser.add_argument("--device", help="say --device cuda")',
        '"""python a.py --device cuda"""',
        'f("--device=cuda118")',
        'f("--device_name_file=cuda")',
        'f("--prompt=cuda")',
        'f("--attn_backend=cuda")',
        'x = \'{"prompt": "cuda"}\'',
        'f("a --device cpu")',
        "# python a.py --device cuda",
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)
    assert not [finding for finding in ported(text).findings if finding.code == CODE]
