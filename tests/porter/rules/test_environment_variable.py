"""DP107: variables that steer CUDA, set or read by the program."""

from __future__ import annotations

import pytest

from porter.port import Plan, port_text
from tests.porter.rules import cases
from tests.porter.rules.rewriting import check_noop, check_reported, check_text_for_people, check_transformed, ported

OLD, NEW = "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"


FORMS = [
    pytest.param('os.environ["{0}"] = "0,1"', id="set"),
    pytest.param("os.environ['{0}'] = '0'", id="single-quotes"),
    pytest.param('x = os.environ["{0}"]', id="read"),
    pytest.param('x = os.environ.get("{0}")', id="get"),
    pytest.param('x = os.environ.get("{0}", "").split(",")', id="get-with-default"),
    pytest.param('x = os.getenv("{0}")', id="getenv"),
    pytest.param('os.putenv("{0}", "0")', id="putenv"),
    pytest.param('os.unsetenv("{0}")', id="unsetenv"),
    pytest.param('os.environ.setdefault("{0}", "0")', id="setdefault"),
    pytest.param('os.environ.pop("{0}", None)', id="pop"),
    pytest.param('del os.environ["{0}"]', id="del"),
    pytest.param('if "{0}" in os.environ: pass', id="in"),
    pytest.param('if "{0}" not in os.environ.keys(): pass', id="not-in-keys"),
    pytest.param('from os import environ\nenviron["{0}"] = "0"', id="imported"),
    pytest.param('from os import getenv as g, environ as e\nx = e["{0}"]', id="imported-alias"),
    pytest.param('import os as o\nx = o.environ["{0}"]', id="alias-of-os"),
    pytest.param('os.environ.update({{"{0}": "0"}})', id="update"),
    pytest.param('os.environ.update({0}="0")', id="update-keyword"),
    pytest.param('os.environ |= {{"{0}": "0"}}', id="update-operator"),
    pytest.param('x = os.environ | {{"{0}": "0"}}', id="union"),
    pytest.param('x = {{**os.environ, "{0}": "0"}}', id="laid-over"),
    pytest.param('x = dict(os.environ, {0}="0")', id="laid-over-by-dict"),
    pytest.param('run(c, env={{"{0}": "0"}})', id="handed-to-a-process"),
    pytest.param('run(c, env=dict(os.environ, {0}="0"))', id="copy-handed-to-a-process"),
    pytest.param('env = {{"{0}": "0"}}', id="variable-called-env"),
    pytest.param('child_env = os.environ.copy()\nchild_env["{0}"] = "0"', id="copy"),
    pytest.param('self.env["{0}"] = "0"', id="attribute-called-env"),
    pytest.param('monkeypatch.setenv("{0}", "0")', id="monkeypatch-set"),
    pytest.param('monkeypatch.delenv("{0}")', id="monkeypatch-delete"),
    pytest.param('with mock.patch.dict(os.environ, {{"{0}": ""}}): pass', id="mock"),
    pytest.param('os.environ[  # which\n    "{0}"\n] = "0"', id="over-lines"),
]


def test_devices_given_by_keyword() -> None:
    check_transformed(
        f'x = dict(os.environ, {OLD}="-1")',
        f'x = dict(os.environ, {NEW}="")',
        one_way="hides all",
    )
    text = f'import os\nx = dict(os.environ, {OLD}="GPU-8932f937-d72c-4106-c12f-20bd9faed9f6")\n'
    done = port_text(text, Plan("npu"))
    assert done.text == text
    assert [finding.severity for finding in done.findings] == ["error"]


BOTH = [
    pytest.param('os.environ["{0}"] = "0"\nos.environ["{1}"] = "1"\n', id="two-lines"),
    pytest.param('os.environ.update({0}="0", {1}="1")\n', id="keywords-of-one-call"),
    pytest.param('x = dict(os.environ, {0}="0", {1}="1")\n', id="laid-over-by-dict"),
    pytest.param('monkeypatch.setenv("{0}", "0")\nmonkeypatch.setenv("{1}", "1")\n', id="monkeypatch"),
]


@pytest.mark.parametrize("form", BOTH)
@pytest.mark.parametrize("target", ["npu", "cuda"])
def test_left_beside_the_variable_of_the_other_accelerator(form: str, target: str) -> None:
    text = "import os\n" + form.format(OLD, NEW)
    done = port_text(text, Plan(target))
    assert done.text == text
    if target == "npu":
        (finding,) = done.findings
        assert finding.message == f"{OLD} stays as it is: the program sets {NEW} itself"


@pytest.mark.parametrize("form", FORMS)
def test_renamed(form: str) -> None:
    check_transformed(form.format(OLD), form.format(NEW))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_NPU_ALLOC_CONF"),
        ("CUDA_LAUNCH_BLOCKING", "ASCEND_LAUNCH_BLOCKING"),
        ("PYTORCH_NO_CUDA_MEMORY_CACHING", "PYTORCH_NO_NPU_MEMORY_CACHING"),
        ("TORCH_NCCL_BLOCKING_WAIT", "TORCH_HCCL_BLOCKING_WAIT"),
    ],
)
def test_every_documented_pair(old: str, new: str) -> None:
    check_transformed(f'os.environ["{old}"] = x', f'os.environ["{new}"] = x')


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('os.environ["CUDA_HOME_"]', id="no-pair-of-another-variable"),
        pytest.param('os.environ["MY_NCCL_DEBUG"]', id="a-variable-of-its-own"),
        pytest.param('os.environ["MY"] = "NCCL_DEBUG"', id="no-pair-value"),
        pytest.param('table["NCCL_DEBUG"] = "INFO"', id="no-pair-another-table"),
        pytest.param('x = {"CUDA_HOME": "/usr/local/cuda"}', id="no-pair-another-dictionary"),
        pytest.param('f(CUDA_HOME="/usr/local/cuda")', id="no-pair-keyword-of-another-call"),
        pytest.param('print("NCCL_DEBUG")', id="no-pair-print"),
        pytest.param('print("NCCL_DEBUG=INFO torchrun x.py")', id="no-pair-printed-command-line"),
        pytest.param('c = "MY_NCCL_DEBUG=INFO torchrun x.py"', id="another-variable-in-a-command-line"),
        pytest.param('CUDA_HOME = "/usr/local/cuda"', id="no-pair-variable"),
        pytest.param('# os.environ["CUDA_HOME"]', id="no-pair-comment"),
        pytest.param('os.environ["CUDA_HOME"]  # port: ignore', id="no-pair-ignored"),
        pytest.param('os.environ["CUDA_VISIBLE_DEVICES_"]', id="another-variable"),
        pytest.param('os.environ["MY"] = "CUDA_VISIBLE_DEVICES"', id="value"),
        pytest.param('os.environ.get("MY", "CUDA_VISIBLE_DEVICES_OF_MINE")', id="default"),
        pytest.param('table["CUDA_VISIBLE_DEVICES"] = "0"', id="another-table"),
        pytest.param('x = {"CUDA_VISIBLE_DEVICES": "0"}', id="another-dictionary"),
        pytest.param('x = {**table, "CUDA_VISIBLE_DEVICES": "0"}', id="laid-over-another-table"),
        pytest.param('x = table | {"CUDA_VISIBLE_DEVICES": "0"}', id="union-with-another-table"),
        pytest.param('table.update({"CUDA_VISIBLE_DEVICES": "0"})', id="update-of-another-table"),
        pytest.param('f(CUDA_VISIBLE_DEVICES="0")', id="keyword-of-another-call"),
        pytest.param('f(envelope={"CUDA_VISIBLE_DEVICES": "0"})', id="another-keyword"),
        pytest.param('table.get("CUDA_VISIBLE_DEVICES")', id="another-get"),
        pytest.param('x = "CUDA_VISIBLE_DEVICES" in text', id="in-a-text"),
        pytest.param('print("CUDA_VISIBLE_DEVICES")', id="print"),
        pytest.param('print(f"CUDA_VISIBLE_DEVICES={x}")', id="print-value"),
        pytest.param('name = "CUDA_VISIBLE_DEVICES"', id="name"),
        pytest.param("CUDA_VISIBLE_DEVICES = 0", id="variable"),
        pytest.param('# os.environ["CUDA_VISIBLE_DEVICES"]', id="comment"),
        pytest.param('"""CUDA_VISIBLE_DEVICES=0 python x.py"""', id="docstring"),
        pytest.param('x = "export CUDA_VISIBLE_DEVICES"', id="sentence"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)
    assert ported(text).findings == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('os.system("CUDA_VISIBLE_DEVICES=0 python x.py")', id="string"),
        pytest.param('c = f"CUDA_VISIBLE_DEVICES={gpu} python x.py"', id="f-string"),
        pytest.param('c = "cd x && CUDA_VISIBLE_DEVICES=0 python x.py"', id="further-on"),
    ],
)
def test_a_command_line_is_for_a_person(text: str) -> None:
    assert NEW in check_reported(text, "DP107", "warning").way_out


def test_keys_that_the_allocator_raises_on() -> None:
    text = 'os.environ["{0}"] = "expandable_segments:True,backend:native"'
    before, after = text.format("PYTORCH_CUDA_ALLOC_CONF"), text.format("PYTORCH_NPU_ALLOC_CONF")
    check_transformed(before, after)
    for either in (before, after):
        errors = [finding.message for finding in ported(either).findings if finding.severity == "error"]
        assert errors == ["the allocator of Ascend NPU raises on the unknown key 'backend'"]


def test_keys_that_it_knows() -> None:
    value = "max_split_size_mb:128, expandable_segments:True"
    findings = ported(f'os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "{value}"').findings
    assert [finding.severity for finding in findings] == ["fix"]


def test_a_key_that_is_called_otherwise_there() -> None:
    finding = check_reported(
        'os.environ.setdefault("PYTORCH_NPU_ALLOC_CONF", "release_lock_on_cudamalloc:True")', "DP107", "error"
    )
    assert finding.way_out == "write release_lock_on_npumalloc"


@pytest.mark.parametrize(("target", "name"), [("xpu", "ZE_AFFINITY_MASK"), ("musa", "MUSA_VISIBLE_DEVICES")])
def test_each_target_has_its_own(target: str, name: str) -> None:
    check_transformed(f'os.environ["{OLD}"]', f'os.environ["{name}"]', target)


def test_a_target_without_a_pair() -> None:
    check_noop(f'os.environ["{OLD}"]', "mps")


@pytest.mark.parametrize("form", FORMS)
def test_left_alone_as_text_for_people(form: str) -> None:
    check_text_for_people(form.format(OLD))


@pytest.mark.parametrize("form", FORMS)
def test_a_variable_without_a_pair_is_left_alone(form: str) -> None:
    check_noop(form.format("CUDA_CACHE_PATH"))


WITHOUT_A_PAIR = [
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_DEVICE_ORDER",
    "CUDA_MODULE_LOADING",
    "CUDA_CACHE_PATH",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "NVIDIA_VISIBLE_DEVICES",
    "TORCH_CUDA_ARCH_LIST",
    "NCCL_DEBUG",
    "NCCL_P2P_DISABLE",
    "NCCL_IB_DISABLE",
    "NCCL_SOCKET_IFNAME",
    "NCCL_TIMEOUT",
    "TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC",
]


@pytest.mark.parametrize("name", WITHOUT_A_PAIR)
def test_a_variable_without_a_pair_is_a_note(name: str) -> None:
    finding = cases.check_reported(f'os.environ["{name}"] = x', "DP107", "note")
    assert finding.message == f"{name} has no effect on Ascend NPU, and no documented pair"
    assert finding.way_out == ("see the vendor's HCCL_* variables" if "NCCL_" in name else "")


def test_a_variable_without_a_pair_is_found_at_the_head_of_a_command_line() -> None:
    cases.check_reported('c = "NCCL_DEBUG=INFO torchrun x.py"', "DP107", "note")


@pytest.mark.parametrize("form", FORMS)
def test_a_variable_without_a_pair_is_found_in_every_form(form: str) -> None:
    text = form.format("NCCL_DEBUG")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "NCCL_DEBUG" in line)
    cases.check_reported(text, "DP107", "note", line)


@pytest.mark.parametrize("name", WITHOUT_A_PAIR)
def test_undoing_says_nothing_of_it(name: str) -> None:
    assert port_text(f'os.environ["{name}"] = x', Plan("cuda")).findings == []
    both = f'os.environ["{name}"] = os.environ["{NEW}"]'
    assert [finding.severity for finding in port_text(both, Plan("cuda")).findings] == ["fix"]


@pytest.mark.parametrize(
    ("target", "name"),
    [("xpu", "CUDA_LAUNCH_BLOCKING"), ("mps", OLD), ("mps", "TORCH_NCCL_BLOCKING_WAIT"), ("musa", "NCCL_DEBUG")],
)
def test_each_target_lacks_others(target: str, name: str) -> None:
    assert cases.check_reported(f'os.environ["{name}"]', "DP107", "note", target=target).way_out == ""


@pytest.mark.parametrize("name", ["CUDA_LAUNCH_BLOCKING", OLD, "TORCH_NCCL_BLOCKING_WAIT"])
def test_what_the_target_pairs_is_no_note(name: str) -> None:
    assert [finding.severity for finding in ported(f'os.environ["{name}"]').findings] == ["fix"]


def by_build(text: str, build: str | None) -> list[tuple[str, str, str]]:
    """What is said of a text ported to a build of torch_npu, and of its ported form."""
    plan = Plan("npu", torch_npu=build)
    first = port_text(text, plan)
    for result in (first, port_text(first.text, plan)):
        said = [(one.severity, one.message, one.way_out) for one in result.findings if not one.is_fix]
        assert said == [(one.severity, one.message, one.way_out) for one in first.findings if not one.is_fix]
    return said


@pytest.mark.parametrize(
    ("key", "lacks", "has", "where"),
    [
        ("roundup_power2_divisions:4", "2.5.1.post1", "2.6.0.post5", "from 2.6.0.post5, 2.7.1.post4, 2.8.0.post5 on"),
        ("roundup_power2_divisions:[256:1,512:2]", "2.7.1", "2.7.1.post4", "from 2.6.0.post5, 2.7.1.post4, 2.8.0."),
        ("page_size:1g", "2.9.1", "2.9.0.post9", "from 2.7.1.post11, 2.9.0.post9, 2.10.0.post7 on"),
        ("release_lock_on_cudamalloc:True", "2.8.0.post5", None, "from 2.7.1.post11, 2.9.0.post9, 2.10.0.post7 on"),
        ("large_segment_size_mb:40", "2.10.0.post7", "2.11.0.post3", "from 2.11.0.post3 on"),
    ],
)
def test_keys_that_the_allocator_of_the_build_raises_on(key: str, lacks: str, has: str | None, where: str) -> None:
    text = f'os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "max_split_size_mb:64,{key}"\n'
    errors = [message for _, message, _ in by_build(text, lacks) if "torch_npu" in message]
    name = key.partition(":")[0]
    assert [message.partition("; ")[0] for message in errors] == [
        f"the allocator of torch_npu {lacks} raises on the key {name!r}"
    ]
    assert where in errors[0]
    assert not any("torch_npu" in message for _, message, _ in by_build(text, has))


@pytest.mark.parametrize(
    ("text", "lacks", "has", "instead"),
    [
        ('os.environ["PYTORCH_ALLOC_CONF"] = "page_size:1g"', "2.9.0.post9", "2.10.0.post7", "PYTORCH_NPU_ALLOC_CONF"),
        ('os.environ["TORCH_NCCL_BLOCKING_WAIT"] = "1"', "2.9.1", "2.7.1.post11", "HCCL_BLOCKING_WAIT"),
        ('os.environ.setdefault("TORCH_HCCL_DESYNC_DEBUG", "1")', "2.7.1", None, "HCCL_DESYNC_DEBUG"),
        ('env = dict(os.environ, TORCH_NCCL_BLOCKING_WAIT="1")', "2.7.1.post4", "2.9.0.post9", "HCCL_BLOCKING_WAIT"),
    ],
)
def test_variables_that_the_build_does_not_read(text: str, lacks: str, has: str | None, instead: str) -> None:
    [(severity, message, way_out)] = by_build(f"import os\n{text}\n", lacks)
    assert (severity, way_out) == ("warning", f"set {instead} as well")
    assert message.startswith(f"torch_npu {lacks} does not read ")
    assert by_build(f"import os\n{text}\n", has) == []


@pytest.mark.parametrize(
    "text", ['x = "PYTORCH_ALLOC_CONF"', 'os.environ["PYTORCH_NPU_ALLOC_CONF"] = "page_size"', "x=1"]
)
def test_what_no_build_is_needed_for(text: str) -> None:
    assert by_build(f"import os\n{text}\n", "2.1.0.post17") == []


@pytest.mark.parametrize(
    "value", ["roundup_power2_divisions:[256:1,512:2]", "roundup_power2_divisions:[64:8, >:1],page_size:1g"]
)
def test_brackets_belong_to_the_value_of_a_key(value: str) -> None:
    findings = ported(f'os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "{value}"').findings
    assert [finding.severity for finding in findings] == ["fix"]


def test_a_key_behind_brackets_is_seen() -> None:
    text = 'os.environ["PYTORCH_NPU_ALLOC_CONF"] = "roundup_power2_divisions:[256:1,512:2],backend:native"'
    assert "unknown key 'backend'" in check_reported(text, "DP107", "error").message


@pytest.mark.parametrize(("value", "new"), [("-1", ""), ("0, 1", "0,1"), ("0,1", "0,1"), ("", "")])
def test_visible_devices_as_the_target_takes_them(value: str, new: str) -> None:
    """As npu_compat writes them at run time, and the rule for shell scripts in a script."""
    before = f'import os\nos.environ["CUDA_VISIBLE_DEVICES"] = "{value}"\n'
    after = f'import os\nos.environ["ASCEND_RT_VISIBLE_DEVICES"] = "{new}"\n'
    assert ported(before).text == after


@pytest.mark.parametrize("value", ["GPU-8932f937-d72c-4106", "MIG-1/2/3", "all"])
def test_visible_devices_that_are_no_numbers(value: str) -> None:
    check_reported(f'import os\nos.environ["CUDA_VISIBLE_DEVICES"] = "{value}"', "DP107", "error")
    check_reported(f'import os\nos.environ.setdefault("CUDA_VISIBLE_DEVICES", "{value}")', "DP107", "error")


def test_brackets_belong_to_a_value_of_the_allocator() -> None:
    text = 'os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "roundup_power2_divisions:[256:1,512:2]"'
    assert [one.severity for one in ported(text).findings] == ["fix"]


@pytest.mark.parametrize("value", ["-1", "0, 1", "0,1", "", "GPU-8932f937-d72c-4106"])
def test_the_redirect_gives_the_same_answer(value: str) -> None:
    from npu_compat.environment import _visible_devices
    from porter.environment import visible_devices
    from porter.targets import translation

    assert visible_devices(value, translation("npu")) == _visible_devices(value, "ASCEND_RT_VISIBLE_DEVICES")
