"""DP309: random state handled for one type of device only."""

from __future__ import annotations

import pytest

from porter.port import Plan, port_text
from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP309"

FUNCTIONS = [
    "get_rng_state()",
    "set_rng_state(state)",
    "get_rng_state_all()",
    "set_rng_state_all(states)",
    "manual_seed(1)",
    "manual_seed_all(1)",
    "random.get_rng_state(device)",
]

GUARDS = [
    'device.type == "cuda"',
    'self.device.type == "cuda"',
    'latents.device.type == "cuda"',
    'x.type == "cuda"',
    '"cuda" == device.type',
    'device == "cuda"',
    'args.device == "cuda:0"',
    'device_type == "cuda"',
    'config["device"] == "cuda"',
    'device.type in ("cuda", "xpu")',
    '"cuda" in str(device)',
    'str(device).startswith("cuda")',
    'torch.cuda.is_available() and device.type == "cuda"',
    'device.type == "cuda" or device.type == "xpu"',
]


@pytest.mark.parametrize("call", FUNCTIONS)
def test_every_function_of_the_generator(call):
    text = f'if device.type == "cuda":\n    state = torch.cuda.{call}'
    found = check_reported(text, CODE, "warning")
    assert found.way_out == "torch.get_device_module(device), or fork_rng(device_type=device.type)"


@pytest.mark.parametrize("guard", GUARDS)
def test_every_way_to_ask_for_the_device(guard):
    check_reported(f"if {guard}:\n    torch.cuda.set_rng_state(state)", CODE, "warning")
    check_reported(f"state = torch.cuda.get_rng_state() if {guard} else None", CODE, "warning")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(
            'from torch.cuda import get_rng_state as save\nif device.type == "cuda":\n    x = save()', 2, id="imported"
        ),
        pytest.param('from torch import cuda\nif device.type == "cuda":\n    x = cuda.get_rng_state()', 2, id="module"),
        pytest.param(
            'if device.type == "cpu":\n    pass\nelif device.type == "cuda":\n    torch.cuda.manual_seed(1)',
            3,
            id="elif",
        ),
        pytest.param(
            'if device.type == "cuda":\n    x = torch.cuda.get_rng_state()\nelse:\n    x = torch.get_rng_state()',
            1,
            id="the-cpu-otherwise",
        ),
        pytest.param(
            'if device.type == "cuda":\n    for i in range(2):\n        x[i] = torch.cuda.get_rng_state(i)',
            1,
            id="deep",
        ),
        pytest.param(
            'if device.type == "cuda":\n    with torch.random.fork_rng(device_type="cuda"):\n        run()',
            1,
            id="fork",
        ),
        pytest.param(
            """\
            def f(device):
                rng_devices = []
                if device.type == "cuda":
                    rng_devices.append(torch.cuda.current_device())
                with torch.random.fork_rng(devices=rng_devices, enabled=True):
                    torch.manual_seed(1)
            """,
            3,
            id="append",
        ),
        pytest.param(
            """\
            from torch.random import fork_rng
            devices = []
            if device.type == "cuda":
                devices += [device]
            with fork_rng(devices):
                run()
            """,
            3,
            id="added-to",
        ),
        pytest.param(
            """\
            devices: list[int] = [0] if device.type == "cuda" else []
            with torch.random.fork_rng(devices, device_type=device.type):
                run()
            """,
            1,
            id="chosen-by-name",
        ),
        pytest.param(
            'with torch.random.fork_rng([0] if device.type == "cuda" else []):\n    run()', 1, id="chosen-in-the-call"
        ),
        pytest.param(
            """\
            if torch.npu.is_available():
                setup("npu")
            if device.type == "cuda":
                state = torch.cuda.get_rng_state()
            """,
            3,
            id="left-as-it-is-by-the-port",
        ),
    ],
)
def test_state_of_one_type_of_device_is_a_warning(text, line):
    check_reported(text, CODE, "warning", line)


def test_saving_and_restoring_are_reported_each():
    text = """\
def save(device):
    if device.type == "cuda":
        return torch.cuda.get_rng_state()


def restore(device, state):
    if device.type == "cuda":
        torch.cuda.set_rng_state(state)
"""
    once = port_text(text, Plan("npu"))
    for ported in (once, port_text(once.text, Plan("npu"))):
        assert [found.line for found in ported.findings if found.code == CODE] == [2, 7]


@pytest.mark.parametrize("call", [f"torch.cuda.{call}" for call in FUNCTIONS])
def test_without_a_guard_it_is_left_alone(call):
    check_silent(call, CODE)
    check_silent(f"if torch.cuda.is_available():\n    {call}", CODE)
    check_silent(f'if device.type != "cpu":\n    {call}', CODE)


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_around_something_else_is_left_alone(guard):
    check_silent(f"if {guard}:\n    torch.cuda.empty_cache()", CODE)
    check_silent(f"if {guard}:\n    torch.manual_seed(1)\n    state = torch.get_rng_state()", CODE)
    check_silent(f"if {guard}:\n    pass\nelse:\n    state = torch.cuda.get_rng_state()", CODE)
    check_silent(f"if not ({guard}):\n    state = torch.cuda.get_rng_state()", CODE)
    check_silent(f"if {guard}:\n    state = torch.get_device_module(device).get_rng_state()", CODE)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('if device.type != "cuda":\n    torch.cuda.manual_seed(1)', id="unequal"),
        pytest.param('if device.type == "cpu":\n    torch.cuda.manual_seed(1)', id="the-cpu"),
        pytest.param('if device.type == "xpu":\n    torch.xpu.manual_seed(1)', id="another-accelerator"),
        pytest.param("if device.type == name:\n    torch.cuda.manual_seed(1)", id="any-name"),
        pytest.param('if mode == "cuda":\n    torch.cuda.manual_seed(1)', id="no-device"),
        pytest.param('if device.type == "cuda-like":\n    torch.cuda.manual_seed(1)', id="another-word"),
        pytest.param('if choose("cuda"):\n    torch.cuda.manual_seed(1)', id="no-comparison"),
        pytest.param('while device.type == "cuda":\n    torch.cuda.manual_seed(1)', id="a-loop"),
        pytest.param('if device.type == "cuda":\n    cuda.manual_seed(1)', id="a-module-of-its-own"),
        pytest.param('if device.type == "cuda":\n    generator.manual_seed(1)', id="a-generator"),
        pytest.param('if device.type == "cuda":\n    random.seed(1)\n    np.random.seed(1)', id="other-libraries"),
        pytest.param('if device.type == "cuda":\n    devices.append(0)\nrun(devices)', id="a-list-for-something-else"),
        pytest.param(
            """\
            def f():
                if device.type == "cuda":
                    devices.append(0)


            def g(devices):
                with torch.random.fork_rng(devices, device_type=device.type):
                    run()
            """,
            id="a-list-of-another-function",
        ),
        pytest.param(
            """\
            if device.type == "cuda":
                others.append(0)
            with torch.random.fork_rng(devices, device_type=device.type):
                run()
            """,
            id="another-list",
        ),
        pytest.param(
            """\
            size = 2 if device.type == "cuda" else 1
            with torch.random.fork_rng([device], device_type=device.type):
                run(size)
            """,
            id="another-choice",
        ),
        pytest.param('if device.type == "cuda":\n    print("torch.cuda.get_rng_state()")', id="text"),
        pytest.param('# if device.type == "cuda": torch.cuda.get_rng_state()', id="comment"),
        pytest.param('if device.type == "cuda":  # port: ignore\n    x = torch.cuda.get_rng_state()', id="ignored"),
    ],
)
def test_what_is_none_is_left_alone(text):
    check_silent(text, CODE)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            """\
            if device.type == "cuda":
                torch.cuda.set_rng_state(state)
            elif device.type == "npu":
                torch.npu.set_rng_state(state)
            """,
            id="elif",
        ),
        pytest.param(
            """\
            def f(device, state):
                if device.type == "npu":
                    torch.npu.set_rng_state(state)
                if device.type == "cuda":
                    torch.cuda.set_rng_state(state)
            """,
            id="one-after-the-other",
        ),
        pytest.param('if device.type in ("cuda", "npu"):\n    x = torch.cuda.get_rng_state()', id="in-both"),
        pytest.param(
            'if device.type == "cuda" or device.type == "npu":\n    x = torch.cuda.get_rng_state()', id="either"
        ),
        pytest.param(
            """\
            x = torch.cuda.get_rng_state() if device.type == "cuda" else (
                torch.npu.get_rng_state() if device.type == "npu" else None
            )
            """,
            id="conditional-expressions",
        ),
        pytest.param(
            """\
            devices = []
            if device.type == "cuda":
                devices.append(torch.cuda.current_device())
            elif device.type == "npu":
                devices.append(torch.npu.current_device())
            with torch.random.fork_rng(devices, device_type=device.type):
                run()
            """,
            id="append",
        ),
    ],
)
def test_both_devices_handled_are_left_alone(text):
    check_silent(text, CODE)


def test_a_branch_for_the_target_that_leaves_the_state_alone_does_not_count():
    text = 'if device.type == "npu":\n    pass\nelif device.type == "cuda":\n    torch.cuda.set_rng_state(state)'
    check_reported(text, CODE, "warning", 3)


@pytest.mark.parametrize("target", ["xpu", "mps", "musa"])
def test_it_holds_where_it_was_seen(target):
    check_silent('if device.type == "cuda":\n    x = torch.cuda.get_rng_state()', CODE, target=target)


def test_undoing_reports_nothing():
    text = 'if device.type == "npu":\n    x = torch.npu.get_rng_state()'
    assert CODE not in {found.code for found in port_text(text, Plan("cuda")).findings}
