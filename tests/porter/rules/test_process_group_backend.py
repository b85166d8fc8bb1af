"""DP106: nccl where a communication backend is meant."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import befores, check_noop, check_reported, check_text_for_people, check_transformed

BACKENDS = [
    pytest.param('dist.init_process_group("nccl")', 'dist.init_process_group("hccl")', id="positional"),
    pytest.param("dist.init_process_group(backend='nccl')", "dist.init_process_group(backend='hccl')", id="keyword"),
    pytest.param(
        'init_process_group("nccl", rank=0, world_size=1)',
        'init_process_group("hccl", rank=0, world_size=1)',
        id="more",
    ),
    pytest.param('f(backend="cpu:gloo,cuda:nccl")', 'f(backend="cpu:gloo,npu:hccl")', id="per-device"),
    pytest.param('f(backend="cuda:nccl,cpu:gloo")', 'f(backend="npu:hccl,cpu:gloo")', id="per-device-first"),
    pytest.param('f(backend="cuda:nccl")', 'f(backend="npu:hccl")', id="per-device-alone"),
    pytest.param('backend = "nccl"', 'backend = "hccl"', id="assignment"),
    pytest.param('b = "nccl" if gpu else "gloo"', 'b = "hccl" if gpu else "gloo"', id="conditional"),
    pytest.param('b = os.getenv("BACKEND") or "nccl"', 'b = os.getenv("BACKEND") or "hccl"', id="or"),
    pytest.param('c.get("backend", "nccl")', 'c.get("backend", "hccl")', id="get-with-default"),
    pytest.param('c = {"dist_backend": "nccl"}', 'c = {"dist_backend": "hccl"}', id="entry"),
    pytest.param('dist.new_group([0], backend="nccl")', 'dist.new_group([0], backend="hccl")', id="new-group"),
    pytest.param('dist.Backend("nccl")', 'dist.Backend("hccl")', id="backend-object"),
    pytest.param("backend = dist.Backend.NCCL", "backend = dist.Backend.HCCL", id="constant"),
    pytest.param("f(Backend.NCCL)", "f(Backend.HCCL)", id="constant-imported"),
    pytest.param(
        'p.add_argument("--backend", default="nccl", choices=["nccl", "gloo", "mpi"], help="nccl")',
        'p.add_argument("--backend", default="hccl", choices=["hccl", "gloo", "mpi"], help="nccl")',
        id="option",
    ),
    pytest.param('def f():\n    return "nccl"', 'def f():\n    return "hccl"', id="return"),
    pytest.param('for b in ["gloo", "nccl"]: pass', 'for b in ["gloo", "hccl"]: pass', id="loop"),
    pytest.param("x = [\n    'nccl',  # nccl\n]", "x = [\n    'hccl',  # nccl\n]", id="over-lines"),
]


@pytest.mark.parametrize(("before", "after"), BACKENDS)
def test_renamed(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('dist.init_process_group("gloo")', id="another-backend"),
        pytest.param('f(backend="nccl2")', id="another-word"),
        pytest.param('f(backend="NCCL error")', id="two-words"),
        pytest.param('f(backend="cuda:ncclx")', id="another-pair"),
        pytest.param('f(backend="xpu:nccl")', id="another-device"),
        pytest.param('f(backend="cuda:nccl;cpu:gloo")', id="no-list"),
        pytest.param('f(name="nccl")', id="name"),
        pytest.param('print("nccl")', id="print"),
        pytest.param('logger.info("nccl")', id="log"),
        pytest.param('raise RuntimeError("nccl")', id="error"),
        pytest.param('x = "nccl:broadcast"', id="event-of-the-profiler"),
        pytest.param('x = "libnccl.so"', id="file"),
        pytest.param('libs = ["nccl", "cublas"]', id="beside-another-word"),
        pytest.param("nccl", id="variable"),
        pytest.param("# nccl", id="comment"),
        pytest.param('"nccl"', id="docstring"),
        pytest.param('p.add_argument("--nccl", help="nccl")', id="option-itself"),
        pytest.param("Other.NCCL", id="another-constant"),
        pytest.param("dist.Backend.GLOO", id="constant-of-another-backend"),
        pytest.param("Backend.NCCL_X", id="another-name"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)


@pytest.mark.parametrize(
    "text",
    ['dist.init_process_group("nccl")', 'f(backend="cpu:gloo,cuda:nccl")', "dist.Backend.NCCL"],
)
def test_a_target_without_one_is_an_error(text: str) -> None:
    check_reported(text, "DP106", "error", "mps")


@pytest.mark.parametrize(("target", "backend"), [("xpu", "xccl"), ("musa", "mccl")])
def test_each_target_has_its_own(target: str, backend: str) -> None:
    check_transformed('f(backend="cpu:gloo,cuda:nccl")', f'f(backend="cpu:gloo,{target}:{backend}")', target)


@pytest.mark.parametrize("before", befores(BACKENDS))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)
