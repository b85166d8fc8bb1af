"""DP104: torch.cuda and what is below it, through every form of import."""

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

CHAINS = [
    pytest.param("torch.cuda.empty_cache()", "torch.npu.empty_cache()", id="function"),
    pytest.param("if torch.cuda.is_available(): pass", "if torch.npu.is_available(): pass", id="condition"),
    pytest.param("n = torch.cuda.device_count() - 1", "n = torch.npu.device_count() - 1", id="expression"),
    pytest.param("torch.cuda.manual_seed_all(0)", "torch.npu.manual_seed_all(0)", id="seed"),
    pytest.param("module = torch.cuda", "module = torch.npu", id="module-itself"),
    pytest.param("getattr(torch.cuda, name)()", "getattr(torch.npu, name)()", id="getattr-of-the-module"),
    pytest.param("with torch.cuda.device(1): pass", "with torch.npu.device(1): pass", id="with"),
    pytest.param("s: torch.cuda.Stream", "s: torch.npu.Stream", id="annotation"),
    pytest.param("torch.cuda.amp.autocast(enabled=True)", "torch.npu.amp.autocast(enabled=True)", id="submodule"),
    pytest.param("x.type(torch.cuda.FloatTensor)", "x.type(torch.npu.FloatTensor)", id="tensor-type"),
    pytest.param("torch.cuda.Event(True).record()", "torch.npu.Event(True).record()", id="call-on-the-result"),
    pytest.param("torch.cuda.Stream.wait_event(s, e)", "torch.npu.Stream.wait_event(s, e)", id="method-of-a-class"),
    pytest.param("torch.cuda.memory_stats()['a'] + 1", "torch.npu.memory_stats()['a'] + 1", id="entry-of-the-result"),
    pytest.param("torch . cuda . synchronize ( )", "torch . npu . synchronize ( )", id="spaces"),
    pytest.param(
        "(torch\n    .cuda  # the device\n    .synchronize())",
        "(torch\n    .npu  # the device\n    .synchronize())",
        id="over-lines",
    ),
    pytest.param(
        'print(f"{torch.cuda.device_count()} cuda")', 'print(f"{torch.npu.device_count()} cuda")', id="f-string"
    ),
    pytest.param(
        'f"{a:{torch.cuda.device_count()}} {torch.cuda.is_available()!r:>{n}}"',
        'f"{a:{torch.npu.device_count()}} {torch.npu.is_available()!r:>{n}}"',
        id="f-string-format",
    ),
    pytest.param("@torch.cuda.amp.autocast()\ndef f(): ...", "@torch.npu.amp.autocast()\ndef f(): ...", id="decorator"),
    pytest.param("del torch.cuda.FloatTensor", "del torch.npu.FloatTensor", id="del"),
    pytest.param("torch.cuda.synchronize = f", "torch.npu.synchronize = f", id="patched"),
    pytest.param("torch.cuda.CUDAGraph()", "torch.npu.NPUGraph()", id="irregular-class"),
    pytest.param("torch.cuda.graphs.CUDAGraph", "torch.npu.graphs.NPUGraph", id="irregular-class-below"),
    pytest.param(
        "torch.cuda.CUDAPluggableAllocator(p)", "torch.npu.NPUPluggableAllocator(p)", id="irregular-allocator"
    ),
    pytest.param(
        "torch.compiler.cudagraph_mark_step_begin()",
        "torch.compiler.npugraph_mark_step_begin()",
        id="outside-of-the-module",
    ),
    pytest.param(
        "torch.backends.cuda.cufft_plan_cache.clear()", "torch.npu.backends.fft_plan_cache.clear()", id="elsewhere"
    ),
    pytest.param("torch.distributed.is_nccl_available()", "torch.distributed.is_hccl_available()", id="in-distributed"),
]


@pytest.mark.parametrize(("before", "after"), CHAINS)
def test_chain(before: str, after: str) -> None:
    check_transformed(f"import torch\n{before}\n", f"import torch\n{after}\n")


IMPORTS = [
    pytest.param("import torch.cuda\ntorch.cuda.init()", "import torch.npu\ntorch.npu.init()", id="module"),
    pytest.param("import torch.cuda.amp", "import torch.npu.amp", id="submodule"),
    pytest.param("import os, torch.cuda, sys", "import os, torch.npu, sys", id="among-others"),
    pytest.param("import torch.cuda as tc\ntc.init()", "import torch.npu as tc\ntc.init()", id="module-alias"),
    pytest.param(
        "import torch.cuda as cuda\ncuda.init()\ncuda.CUDAGraph()",
        "import torch.npu as cuda\ncuda.init()\ncuda.NPUGraph()",
        id="module-alias-of-the-same-name",
    ),
    pytest.param(
        "import torch.cuda.amp as amp\namp.GradScaler()",
        "import torch.npu.amp as amp\namp.GradScaler()",
        id="submodule-alias",
    ),
    pytest.param("import torch as th\nth.cuda.init()", "import torch as th\nth.npu.init()", id="alias-of-torch"),
    pytest.param("import torch as th\nth.cuda.CUDAGraph", "import torch as th\nth.npu.NPUGraph", id="alias-irregular"),
    pytest.param("from torch import cuda\ncuda.init()", "from torch import npu\nnpu.init()", id="from-torch"),
    pytest.param(
        "from torch import cuda\nf(cuda=cuda, n=cuda.CUDAGraph)",
        "from torch import npu\nf(cuda=npu, n=npu.NPUGraph)",
        id="from-torch-every-use",
    ),
    pytest.param("from torch import nn, cuda", "from torch import nn, npu", id="from-torch-with-others"),
    pytest.param(
        "from torch import cuda as C\nC.init()\nC.CUDAGraph()",
        "from torch import npu as C\nC.init()\nC.NPUGraph()",
        id="from-torch-alias",
    ),
    pytest.param(
        "from torch import cuda\ndef f(cuda): return cuda\ncuda.init()",
        "from torch import npu as cuda\ndef f(cuda): return cuda\ncuda.init()",
        id="from-torch-where-a-parameter-is-called-so",
    ),
    pytest.param(
        "from torch import cuda\nnpu = 1\ncuda.init()",
        "from torch import npu as cuda\nnpu = 1\ncuda.init()",
        id="from-torch-where-the-new-name-is-taken",
    ),
    pytest.param("from torch.cuda import Stream\nStream()", "from torch.npu import Stream\nStream()", id="from-module"),
    pytest.param("from torch.cuda import Event as E", "from torch.npu import Event as E", id="from-module-alias"),
    pytest.param("from torch.cuda import amp, memory", "from torch.npu import amp, memory", id="submodules"),
    pytest.param("from torch.cuda import *", "from torch.npu import *", id="star"),
    pytest.param(
        "from torch.cuda.amp import autocast, GradScaler",
        "from torch.npu.amp import autocast, GradScaler",
        id="amp",
    ),
    pytest.param(
        "from torch.cuda import CUDAGraph, graph\nCUDAGraph()",
        "from torch.npu import NPUGraph, graph\nNPUGraph()",
        id="irregular",
    ),
    pytest.param(
        "from torch.cuda import CUDAGraph as G\nG()",
        "from torch.npu import NPUGraph as G\nG()",
        id="irregular-alias",
    ),
    pytest.param(
        "from torch.distributed import is_nccl_available, barrier\nis_nccl_available()",
        "from torch.distributed import is_hccl_available, barrier\nis_hccl_available()",
        id="from-distributed",
    ),
    pytest.param(
        "def f():\n    import torch.cuda\n    return torch.cuda.Stream()",
        "def f():\n    import torch.npu\n    return torch.npu.Stream()",
        id="within-a-function",
    ),
    pytest.param(
        "import torch.distributed as dist\ndist.is_nccl_available()",
        "import torch.distributed as dist\ndist.is_hccl_available()",
        id="alias-outside-of-the-module",
    ),
]


@pytest.mark.parametrize(("before", "after"), IMPORTS)
def test_import(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        pytest.param(
            "from torch import cuda as cuda\ncuda.init()",
            "from torch import npu as cuda\ncuda.init()",
            "a port itself adds `as cuda` where it has to",
            id="alias-of-the-same-name",
        ),
        pytest.param(
            "from torch.cuda.memory import mem_get_info",
            "from torch.npu import mem_get_info",
            "two names of CUDA became one",
            id="another-module",
        ),
    ],
)
def test_import_that_does_not_come_back_as_it_was(before: str, after: str, why: str) -> None:
    check_transformed(before, after, one_way=why)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_import_in_parentheses(newline: str) -> None:
    before = """
        from torch.cuda import (  # what runs on the device
            Stream,
            # for CUDA graphs
            CUDAGraph, graph,   # and cuda
            Event as E
        )  # torch.cuda

        from torch import (
            nn,
            cuda,
        )
        """
    after = """
        from torch.npu import (  # what runs on the device
            Stream,
            # for CUDA graphs
            NPUGraph, graph,   # and cuda
            Event as E
        )  # torch.cuda

        from torch import (
            nn,
            npu,
        )
        """
    check_transformed(plain(before).replace("\n", newline), plain(after).replace("\n", newline))


def test_import_behind_a_backslash() -> None:
    check_transformed(
        "from torch.cuda \\\n    import Stream, \\\n    Event\n",
        "from torch.npu \\\n    import Stream, \\\n    Event\n",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param('x.type("torch.cuda.FloatTensor")', 'x.type("torch.npu.FloatTensor")', id="argument"),
        pytest.param(
            "t = 'torch.cuda.HalfTensor' if gpu else 'torch.HalfTensor'",
            "t = 'torch.npu.HalfTensor' if gpu else 'torch.HalfTensor'",
            id="conditional",
        ),
        pytest.param('x.type() == "torch.cuda.LongTensor"', 'x.type() == "torch.npu.LongTensor"', id="comparison"),
    ],
)
def test_type_by_its_name(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import torch\ntorch.cudnn.init()", id="another-module"),
        pytest.param("import torch\ntorch.cuda_init()", id="another-name"),
        pytest.param("import torch\ntorch.version.cuda", id="version"),
        pytest.param("import torch\nx.cuda.init()", id="of-something-else"),
        pytest.param("import torch\nx.torch.cuda.init()", id="torch-below-something"),
        pytest.param("import torch\ntorch.cuda.OutOfMemoryError", id="torchs-own-error"),
        pytest.param("from torch.cuda import OutOfMemoryError", id="torchs-own-error-imported"),
        pytest.param("import torch\ntorch.backends.cuda.matmul.allow_tf32", id="backends"),
        pytest.param("import torch\n# torch.cuda.init()", id="comment"),
        pytest.param('import torch\nprint("torch.cuda.init()")', id="string"),
        pytest.param('import torch\nprint("torch.cuda.FloatTensor")', id="printed-type"),
        pytest.param('import torch\nname = "torch.cuda.FloatTensor"', id="name-of-a-type"),
        pytest.param('import torch\nf("torch.cuda.Float")', id="no-type"),
        pytest.param("import torch\ndef cuda(): ...\ncuda()", id="function-of-that-name"),
        pytest.param("import torch\ncuda = torch\ncuda.init()", id="variable-of-that-name"),
        pytest.param("import numpy as torch\ntorch.cuda.init()", id="another-package-under-that-name"),
        pytest.param("from fake import tensor as torch\ntorch.cuda.init()", id="something-else-under-that-name"),
        pytest.param("class torch:\n    cuda = None\ntorch.cuda.init()", id="class-of-that-name"),
        pytest.param("from numba import cuda\ncuda.jit", id="numba"),
        pytest.param("import numba.cuda\nnumba.cuda.jit", id="numba-below"),
        pytest.param("from cupy import cuda\ncuda.Device(0)", id="cupy"),
        pytest.param("from torch.backends import cuda\ncuda.matmul", id="from-backends"),
        pytest.param("from torch.backends.cuda import cufft_plan_cache, matmul", id="beside-what-stays"),
        pytest.param("from . import cuda\ncuda.init()", id="relative"),
        pytest.param("from .torch.cuda import Stream", id="relative-below"),
        pytest.param("from torch.cudart import x", id="another-module-import"),
        pytest.param("import torch.cudnn", id="another-module-import-whole"),
        pytest.param("import torch_cuda", id="another-package"),
        pytest.param("from torch import Tensor as cuda\ncuda.x", id="a-class-called-cuda"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "try:\n    import torch\nexcept ImportError:\n    torch = None\ntorch.cuda.init()",
            "try:\n    import torch\nexcept ImportError:\n    torch = None\ntorch.npu.init()",
            id="that-may-be-missing",
        ),
        pytest.param(
            'torch = pytest.importorskip("torch")\ntorch.cuda.init()',
            'torch = pytest.importorskip("torch")\ntorch.npu.init()',
            id="imported-by-a-call",
        ),
        pytest.param(
            "from .compat import torch\ntorch.cuda.init()",
            "from .compat import torch\ntorch.npu.init()",
            id="handed-on-by-a-module",
        ),
        pytest.param("self.torch.cuda.init()", "self.torch.npu.init()", id="of-an-object"),
        pytest.param("from lib import *\ntorch.cuda.init()", "from lib import *\ntorch.npu.init()", id="by-a-star"),
        pytest.param("torch.cuda.init()", "torch.npu.init()", id="of-a-snippet"),
        pytest.param("def f(torch):\n    torch.cuda.init()", "def f(torch):\n    torch.npu.init()", id="handed-over"),
    ],
)
def test_torch(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("torch.cuda.nvtx.range_push(x)", id="module"),
        pytest.param("from torch.cuda import nvtx", id="import"),
        pytest.param("from torch.cuda import nvtx, Stream", id="import-beside-what-it-has"),
        pytest.param("import torch.cuda.nvtx as nvtx", id="import-whole"),
        pytest.param("torch.cuda.get_arch_list()", id="function"),
    ],
)
def test_what_the_target_lacks_stays(text: str) -> None:
    check_noop(f"import torch\n{text}\n")
    assert "error" in {finding.severity for finding in ported(f"import torch\n{text}\n").findings}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "import torch.cuda as c\ndef g(c):\n    c.CUDAGraph()\nc.CUDAGraph()",
            "import torch.npu as c\ndef g(c):\n    c.CUDAGraph()\nc.NPUGraph()",
            id="parameter",
        ),
        pytest.param(
            "from torch import cuda\nasync def g(*, cuda):\n    x = [cuda.CUDAGraph() for i in y]",
            "from torch import npu as cuda\nasync def g(*, cuda):\n    x = [cuda.CUDAGraph() for i in y]",
            id="keyword-only",
        ),
        pytest.param(
            "import torch.cuda as c\ndef g(c=c.CUDAGraph()):\n    def h():\n        c.CUDAGraph()",
            "import torch.npu as c\ndef g(c=c.NPUGraph()):\n    def h():\n        c.CUDAGraph()",
            id="default-and-inner-function",
        ),
        pytest.param(
            "import torch.cuda as c\ndef g(d):\n    c.CUDAGraph()\ndef h(c): ...",
            "import torch.npu as c\ndef g(d):\n    c.NPUGraph()\ndef h(c): ...",
            id="parameter-of-another",
        ),
    ],
)
def test_a_parameter_hides_a_module_of_its_name(before: str, after: str) -> None:
    check_transformed(before, after)


def test_an_import_whose_names_part_ways_is_for_a_person() -> None:
    finding = check_reported("from torch.cuda.memory import mem_get_info, _snapshot", "DP104", "error")
    assert "torch.npu and torch.npu.memory" in finding.message


@pytest.mark.parametrize("before", befores(CHAINS, IMPORTS))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)


@pytest.mark.parametrize("before", befores(CHAINS))
def test_left_alone_below_another_package(before: str) -> None:
    """The same chains of a package of another name."""
    check_noop(f"import jax as torch\n{before}\n")


def test_an_imported_name_is_renamed_where_it_is_used() -> None:
    check_transformed(
        "from torch.cuda import CUDAGraph\n\ngraph = CUDAGraph()\ngraph2 = CUDAGraph.replay\n",
        "from torch.npu import NPUGraph\n\ngraph = NPUGraph()\ngraph2 = NPUGraph.replay\n",
    )


def test_an_imported_name_keeps_what_the_file_calls_it_if_the_new_one_is_taken() -> None:
    check_transformed(
        "from torch.cuda import CUDAGraph\n\nNPUGraph = object\ngraph = CUDAGraph()\n",
        "from torch.npu import NPUGraph as CUDAGraph\n\nNPUGraph = object\ngraph = CUDAGraph()\n",
    )


def test_a_name_whose_import_stays_is_not_renamed() -> None:
    check_noop("from torch.cuda import CUDAGraph, nvtx\n\ngraph = CUDAGraph()\n")
