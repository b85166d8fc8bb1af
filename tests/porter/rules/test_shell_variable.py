"""DP404: variables that steer CUDA, in shell scripts."""

from __future__ import annotations

import pytest

from porter.documents import port_bytes
from porter.port import Plan
from tests.porter.shell.launching import PATH, check_noop, check_reported, check_silent, check_transformed, ported

CODE = "DP404"
OLD, NEW = "CUDA_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{0}=0 python generate.py", id="before-a-command"),
        pytest.param("{0}=0,1,2,3 python generate.py", id="several"),
        pytest.param('{0}="" python generate.py', id="none"),
        pytest.param("{0}= python generate.py", id="empty"),
        pytest.param("export {0}=0", id="export"),
        pytest.param("export X=1 {0}='0,1'", id="export-several"),
        pytest.param("export {0}", id="export-of-a-name"),
        pytest.param("declare -x {0}=0", id="declare"),
        pytest.param("local {0}=0", id="local"),
        pytest.param("{0}=0", id="assignment"),
        pytest.param("{0}+=,1", id="appended"),
        pytest.param("unset {0}", id="unset"),
        pytest.param("env {0}=0 python generate.py", id="env"),
        pytest.param("env X=1 {0}=0 Y=1 python generate.py", id="env-several"),
        pytest.param("echo ${0}", id="read"),
        pytest.param('echo "on ${{{0}}}"', id="read-in-quotes"),
        pytest.param('n=$(echo "${0}" | tr , "\\n" | wc -l)', id="read-in-a-substitution"),
        pytest.param("x=${{{0}:-0}}", id="default"),
        pytest.param(': "${{{0}:=0}}"', id="default-set"),
        pytest.param("x=${{#{0}}}", id="length"),
        pytest.param("x=$(({0} + 1))", id="arithmetic"),
        pytest.param('if [ -z "${0}" ]; then echo; fi', id="test"),
        pytest.param("[[ -v {0} ]] && echo", id="test-whether-set"),
        pytest.param("printenv {0}", id="printenv"),
        pytest.param("read {0} < ids", id="read-builtin"),
        pytest.param("for {0} in 0 1; do echo; done", id="loop-variable"),
        pytest.param("for i in 0 1; do {0}=$i python generate.py & done", id="in-a-loop"),
        pytest.param("{0}=$1 python generate.py", id="argument"),
        pytest.param("{0}=$(seq -s, 0 7) python generate.py", id="computed"),
        pytest.param("ids=0,1\n{0}=$ids python generate.py", id="variable"),
        pytest.param("f() {{ {0}=0 python generate.py; }}", id="in-a-function"),
        pytest.param("cat <<EOF\non ${0}\nEOF", id="here-document"),
        pytest.param("{0}=0 nohup python generate.py > log 2>&1 &", id="nohup"),
    ],
)
def test_renamed(form: str) -> None:
    check_transformed(form.format(OLD) + "\n", form.format(NEW) + "\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CUDA_LAUNCH_BLOCKING", "ASCEND_LAUNCH_BLOCKING"),
        ("PYTORCH_NO_CUDA_MEMORY_CACHING", "PYTORCH_NO_NPU_MEMORY_CACHING"),
        ("TORCH_NCCL_BLOCKING_WAIT", "TORCH_HCCL_BLOCKING_WAIT"),
        ("TORCH_NCCL_ASYNC_ERROR_HANDLING", "TORCH_HCCL_ASYNC_ERROR_HANDLING"),
        ("TORCH_NCCL_DESYNC_DEBUG", "TORCH_HCCL_DESYNC_DEBUG"),
        ("TORCH_NCCL_TRACE_BUFFER_SIZE", "TORCH_HCCL_TRACE_BUFFER_SIZE"),
    ],
)
def test_every_documented_pair(old: str, new: str) -> None:
    check_transformed(f"export {old}=1\n", f"export {new}=1\n")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(f"# export {OLD}=0", id="comment"),
        pytest.param(f"echo {OLD}", id="printed"),
        pytest.param(f'echo "set {OLD}=0 first"', id="printed-in-quotes"),
        pytest.param(f"grep {OLD} log", id="looked-for"),
        pytest.param(f"MY_{OLD}=0", id="a-variable-of-its-own"),
        pytest.param(f"export {OLD}_2=0", id="a-longer-name"),
        pytest.param(f"echo $MY_{OLD}", id="read-of-its-own"),
        pytest.param(f"cat {OLD}.txt", id="file"),
        pytest.param(f"x={OLD}", id="value"),
        pytest.param("python generate.py --device 0", id="no-variable"),
        pytest.param(f"export {NEW}=0", id="ported"),
        pytest.param(f"export {OLD}=0  # port: ignore", id="ignored"),
        pytest.param(f"export {OLD}=0  # port: ignore[shell-variable]", id="ignored-by-name"),
        pytest.param("export MY_NCCL_DEBUG=INFO", id="no-pair-of-its-own"),
        pytest.param("echo $NCCL_DEBUG", id="no-pair-read"),
        pytest.param("unset NCCL_DEBUG", id="no-pair-unset"),
    ],
)
def test_left_alone(script: str) -> None:
    check_silent(script + "\n")


@pytest.mark.parametrize("value", ["GPU-8932f937-d72c-4106", "MIG-1/2/3", "NoDevFiles", "all", "$1-a"])
def test_devices_that_are_no_numbers(value: str) -> None:
    script = f"export {OLD}={value}\necho ${OLD}\n"
    finding = check_reported(script, CODE, "error")
    shown = value.strip("'").replace("$1", "...")
    assert finding.message == f"{NEW} takes numbers of devices with commas between, not {shown!r}"


@pytest.mark.parametrize(("value", "new"), [("-1", ""), ("'-1'", ""), ("'0, 1'", "0,1"), ('"0,1 "', "0,1")])
def test_devices_that_are_written_otherwise(value: str, new: str) -> None:
    """As npu_compat writes them at run time."""
    result = ported(f"{OLD}={value} python a.py\n")
    assert result.data.decode() == f"{NEW}={new} python a.py\n"


def test_one_value_that_is_refused_keeps_the_variable_all_over() -> None:
    check_noop(f"{OLD}=0 python a.py\n{OLD}=GPU-8932f937 python b.py\n")


def test_a_variable_whose_pair_the_script_sets_too() -> None:
    finding = check_reported(f"export {OLD}=0,1\nexport {NEW}=2,3\n", CODE, "note")
    assert finding.message == f"{OLD} stays as it is: the script sets {NEW} itself"


def test_undoing_such_a_script() -> None:
    script = f"export {OLD}=0\nexport {NEW}=2\nTORCH_NCCL_BLOCKING_WAIT=1 python a.py\n"
    check_transformed(script, script.replace("NCCL", "HCCL"))


def test_a_script_that_names_both_for_different_commands_is_not_undone() -> None:
    script = f"{OLD}=0 python a.py\n{NEW}=0 python b.py\n".encode()
    result = port_bytes(PATH, script, Plan("npu"))
    assert result.data == script.replace(OLD.encode(), NEW.encode())
    (finding,) = port_bytes(PATH, script, Plan("cuda")).findings
    assert (finding.code, finding.severity) == ("DP109", "error")
    assert port_bytes(PATH, script, Plan("cuda")).data == script


ALLOCATOR = "export PYTORCH_{0}_ALLOC_CONF={1}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("expandable_segments:True", "expandable_segments:True"),
        (
            "max_split_size_mb:128,garbage_collection_threshold:0.8",
            "max_split_size_mb:128,garbage_collection_threshold:0.8",
        ),
        ('"max_split_size_mb:128, expandable_segments:True"', '"max_split_size_mb:128, expandable_segments:True"'),
        ("release_lock_on_cudamalloc:True", "release_lock_on_npumalloc:True"),
        ("a$1", "a$1"),
    ],
)
def test_the_allocators_settings(old: str, new: str) -> None:
    check_transformed(ALLOCATOR.format("CUDA", old), ALLOCATOR.format("NPU", new))


@pytest.mark.parametrize("value", ["backend:cudaMallocAsync", "expandable_segments:True,backend:native"])
def test_keys_that_the_allocator_raises_on(value: str) -> None:
    finding = check_reported(ALLOCATOR.format("CUDA", value), CODE, "error")
    assert finding.message == "the allocator of Ascend NPU raises on the unknown key 'backend'"


def test_the_general_variable_beside_that_of_the_allocator() -> None:
    script = ALLOCATOR.format("CUDA", "expandable_segments:True") + "export PYTORCH_ALLOC_CONF=x:1\n"
    finding = check_reported(script, CODE, "error")
    assert finding.way_out == "keep one of the two"


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("NCCL_DEBUG", "see the vendor's HCCL_* variables"),
        ("NCCL_P2P_DISABLE", "see the vendor's HCCL_* variables"),
        ("NCCL_SOCKET_IFNAME", "the nearest is HCCL_SOCKET_IFNAME"),
        ("NCCL_IB_TIMEOUT", "the nearest is HCCL_RDMA_TIMEOUT"),
        ("NVIDIA_VISIBLE_DEVICES", "the nearest is ASCEND_VISIBLE_DEVICES, read by Ascend Docker Runtime"),
        ("CUDA_HOME", ""),
        ("CUDA_DEVICE_ORDER", ""),
        ("CUBLAS_WORKSPACE_CONFIG", ""),
    ],
)
@pytest.mark.parametrize("form", ["export {0}=1\n", "{0}=1 python a.py\n", "env {0}=1 python a.py\n"])
def test_a_variable_without_a_pair(name: str, way_out: str, form: str) -> None:
    finding = check_reported(form.format(name), CODE, "note")
    assert finding.message == f"{name} has no effect on Ascend NPU, and no documented pair"
    assert finding.way_out == way_out


@pytest.mark.parametrize(
    "command",
    [
        f"docker run -e {OLD}=0 image",
        f"docker run --env={OLD}=0 image",
        f"srun --export=ALL,{OLD}=0 python generate.py",
        f"mpirun -x {OLD} python generate.py",
    ],
)
def test_a_variable_that_is_handed_on(command: str) -> None:
    finding = check_reported(command + "\n", CODE, "warning")
    assert (finding.message, finding.way_out) == (f"{OLD} is handed on to another program", f"hand on {NEW} as well")


@pytest.mark.parametrize(("target", "name"), [("xpu", "ZE_AFFINITY_MASK"), ("musa", "MUSA_VISIBLE_DEVICES")])
def test_each_target_has_its_own(target: str, name: str) -> None:
    check_transformed(f"export {OLD}=0\n", f"export {name}=0\n", target)


def test_a_target_without_a_pair() -> None:
    assert check_reported(f"export {OLD}=0\n", CODE, "note", "mps").way_out == ""


def test_undoing_says_nothing_of_what_has_no_pair() -> None:
    script = b"export NCCL_DEBUG=INFO\nexport CUDA_VISIBLE_DEVICES=GPU-1\n"
    assert port_bytes(PATH, script, Plan("cuda")).findings == ()


def test_two_accelerators_are_undone_by_name() -> None:
    script = b"ASCEND_RT_VISIBLE_DEVICES=0 python a.py\nMUSA_VISIBLE_DEVICES=0 python b.py\n"
    assert port_bytes(PATH, script, Plan("cuda")).data == script.replace(b"ASCEND_RT", b"CUDA")
    undone = port_bytes(PATH, script, Plan("cuda", source="musa"))
    assert undone.data == script.replace(b"MUSA", b"CUDA")


def test_where_it_says_so() -> None:
    (fix,) = ported(f"echo 显存\nexport {OLD}=0\n").findings
    assert (fix.line, fix.column, fix.end_line, fix.end_column) == (2, 8, 2, 28)


@pytest.mark.parametrize(
    ("script", "lacks", "has", "says"),
    [
        ("export PYTORCH_CUDA_ALLOC_CONF=page_size:1g\n", "2.9.1", "2.9.0.post9", "raises on the key 'page_size'"),
        ("PYTORCH_NPU_ALLOC_CONF=page_size:1g python a.py\n", "2.7.1", "2.14.0", "raises on the key 'page_size'"),
        ("export PYTORCH_ALLOC_CONF=x:1\n", "2.9.0.post9", "2.10.0.post7", "does not read PYTORCH_ALLOC_CONF"),
        (
            "export TORCH_NCCL_BLOCKING_WAIT=1\n",
            "2.8.0.post5",
            "2.7.1.post11",
            "does not read TORCH_HCCL_BLOCKING_WAIT",
        ),
        ("TORCH_HCCL_BLOCKING_WAIT=1 python a.py\n", "2.7.1", None, "does not read TORCH_HCCL_BLOCKING_WAIT"),
    ],
)
def test_what_the_build_of_torch_npu_does_not_know(script: str, lacks: str, has: str | None, says: str) -> None:
    def said(build: str | None, data: bytes) -> list[str]:
        result = port_bytes(PATH, data, Plan("npu", torch_npu=build))
        return [finding.message for finding in result.findings if not finding.is_fix]

    once = port_bytes(PATH, script.encode(), Plan("npu", torch_npu=lacks)).data
    for data in (script.encode(), once):
        [message] = said(lacks, data)
        assert says in message
        assert f"torch_npu {lacks} " in message
        assert said(has, data) == []


def test_brackets_belong_to_the_value_of_a_key() -> None:
    findings = check_transformed(
        'export PYTORCH_CUDA_ALLOC_CONF="roundup_power2_divisions:[256:1,512:2]"\n',
        'export PYTORCH_NPU_ALLOC_CONF="roundup_power2_divisions:[256:1,512:2]"\n',
    )
    assert [finding.severity for finding in findings] == ["fix"]
