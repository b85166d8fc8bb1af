"""DP307: a memory limit in a training script."""

from __future__ import annotations

import pytest

from porter.port import Plan, port_text
from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP307"


@pytest.mark.parametrize(
    "text",
    [
        "import accelerate\npipe = Pipeline.from_pretrained(vram_limit=16)",
        "from accelerate import Accelerator\npipe = Pipeline.from_pretrained(vram_limit=limit)",
        "from accelerate.utils import set_seed\npipe.enable_vram_management(vram_limit=2.5)",
    ],
)
def test_a_limit_beside_accelerate_is_a_warning(text):
    check_reported(text, CODE, "warning", 2)


def test_every_limit_is_reported_once_though_accelerate_is_imported_twice():
    text = "import accelerate\nfrom accelerate import Accelerator\none(vram_limit=1)\ntwo(vram_limit=2)"
    findings = port_text(text, Plan("npu")).findings
    assert [(finding.code, finding.line) for finding in findings] == [(CODE, 3), (CODE, 4)]


@pytest.mark.parametrize(
    "text",
    [
        "import accelerated\npipe = Pipeline.from_pretrained(vram_limit=16)",
        "pipe = Pipeline.from_pretrained(vram_limit=limit)",
        "from .accelerate import Accelerator\npipe = Pipeline.from_pretrained(vram_limit=16)",
        "import accelerate\npipe = Pipeline.from_pretrained(vram_limit=None)",
        "import accelerate\npipe = Pipeline.from_pretrained(ram_limit=16)",
        "import accelerate\nvram_limit = 16",
    ],
)
def test_one_without_the_other_is_left_alone(text):
    check_silent(text, CODE)


def test_the_import_that_the_port_adds_moves_the_report():
    check_reported(
        """\
        import accelerate
        from diffsynth.pipelines.wan_video import WanVideoPipeline

        pipe = WanVideoPipeline.from_pretrained(vram_limit=torch.cuda.mem_get_info("cuda")[1])
        """,
        CODE,
        "warning",
        4,
    )
