"""DP411: how accelerate is configured to distribute."""

from __future__ import annotations

import pytest

from porter.documents import port_bytes
from porter.port import Plan
from tests.porter.documents.bytes_in_out import check_ported, check_unchanged

CONFIG = """\
compute_environment: LOCAL_MACHINE
debug: false
distributed_type: {0}
gpu_ids: all
num_processes: 8
"""
HEAD = "compute_environment: LOCAL_MACHINE\n"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(CONFIG, id="plain"),
        pytest.param(CONFIG.replace("{0}", "'{0}'"), id="single-quotes"),
        pytest.param(CONFIG.replace("{0}", '"{0}"  # how'), id="double-quotes-and-comment"),
        pytest.param("---\n" + CONFIG, id="document-start"),
        pytest.param("# 显存\n" + CONFIG.replace("all", "0,1"), id="ids"),
        pytest.param('{{"compute_environment": "LOCAL_MACHINE", "distributed_type": "{0}"}}', id="json"),
        pytest.param(CONFIG.replace("\n", "\r\n"), id="crlf"),
        pytest.param("\ufeff" + CONFIG, id="byte-order-mark"),
        pytest.param(CONFIG.rstrip("\n"), id="no-final-newline"),
        pytest.param(HEAD + "distributed_type:\n    {0}\n", id="on-the-next-line"),
        pytest.param(CONFIG + "---\nother: 1\n", id="another-document"),
        pytest.param(CONFIG + "note: 🙂 x\n", id="emoji"),
        pytest.param(CONFIG.replace("{0}", "&t !!str {0}") + "other: *t\n", id="anchor-and-tag"),
    ],
)
@pytest.mark.parametrize("name", ["config.yaml", "config.yml", "config.YAML"])
def test_renamed(form: str, name: str) -> None:
    check_ported(name, form.format("MULTI_GPU").encode(), form.format("MULTI_NPU").encode())


@pytest.mark.parametrize(
    "text",
    [
        *(
            pytest.param(CONFIG.format(kind), id=kind)
            for kind in ("'NO'", "NO", "DEEPSPEED", "FSDP", "MULTI_CPU", "XLA")
        ),
        pytest.param(HEAD + "distributed_kind: MULTI_GPU\n", id="another-key"),
        pytest.param("distributed_type: MULTI_GPU\n", id="not-of-accelerate"),
        pytest.param("a:\n  compute_environment: X\n  distributed_type: MULTI_GPU\n", id="below-another-key"),
        pytest.param(CONFIG.format("MULTI_GPU_OF_MINE"), id="longer"),
        pytest.param(CONFIG.format("NO") + "name: MULTI_GPU\n", id="another-value"),
        pytest.param(CONFIG.format("NO") + "# MULTI_GPU\n", id="comment"),
        pytest.param(CONFIG.format("MULTI_GPU # port: ignore"), id="ignored"),
        pytest.param(CONFIG.format("NO").replace("all", "'0'"), id="one-id"),
        pytest.param(CONFIG.format("NO").replace("all", "null"), id="no-ids"),
        pytest.param("- compute_environment\n- distributed_type\n", id="list"),
        pytest.param("compute_environment: &a\ndistributed_type: *b {", id="neither-yaml-nor-of-interest"),
        pytest.param("", id="empty"),
    ],
)
def test_left_alone(text: str) -> None:
    assert check_unchanged("config.yaml", text.encode()) == ()


@pytest.mark.parametrize(("target", "kind"), [("xpu", "MULTI_XPU"), ("musa", "MULTI_MUSA")])
def test_each_target_has_its_own(target: str, kind: str) -> None:
    ported = port_bytes("c.yaml", CONFIG.format("MULTI_GPU").encode(), Plan(target))
    assert ported.data.decode() == CONFIG.format(kind)
    assert port_bytes("c.yaml", ported.data, Plan("cuda", source=target)).data.decode() == CONFIG.format("MULTI_GPU")


def test_a_target_without_several_devices() -> None:
    (finding,) = port_bytes("c.yaml", CONFIG.format("MULTI_GPU").encode(), Plan("mps")).findings
    assert (finding.severity, finding.line) == ("error", 3)
    assert finding.message == "accelerate knows no several devices of Apple MPS"


@pytest.mark.parametrize("ids", ["GPU-8932f937", "0,GPU-1"])
def test_ids_that_are_no_numbers(ids: str) -> None:
    (finding,) = check_unchanged("c.yaml", CONFIG.format("NO").replace("all", ids).encode())
    assert (finding.code, finding.severity, finding.line, finding.column) == ("DP411", "error", 4, 10)
    assert finding.message == f"accelerate hands these ids on as visible devices, which are numbers, not {ids!r}"


def test_accelerate_knows_every_type() -> None:
    from accelerate.utils import DistributedType

    from porter.targets import CUDA, TARGETS, translation

    named = (one.frameworks.get("accelerate") for one in (CUDA, *(translation(name).new for name in TARGETS)))
    assert set(filter(None, named)) <= {kind.value for kind in DistributedType}
