"""compile_pipeline: blocks compiled one by one, the same frames, with and without offload, on the CPU and an NPU."""

import re

import pytest
import torch

from tests.diffsynth.pipelines.conftest import QUICK
from tests.diffsynth.pipelines.test_wan_video_offload import keys


@pytest.mark.parametrize("config", [None, keys("disk", "disk", "cpu", torch.float32)], ids=["plain", "streamed"])
def test_compiled_blocks_give_the_same_frames(open_pipeline, config, capsys):
    pipe = open_pipeline(vram_config=config, vram_limit=0)
    options = {**QUICK, "num_inference_steps": 2, "output_type": "floatpoint"}
    plain = pipe("a dog", **options)
    pipe.compile_pipeline(backend="aot_eager")
    torch.testing.assert_close(pipe("a dog", **options), plain, rtol=0, atol=1e-5)
    assert re.search(r"compile_pipeline: \d+\.\d s to the first frame", capsys.readouterr().out)
    pipe("a dog", **options)
    assert not capsys.readouterr().out


def test_a_network_without_blocks_is_left_as_it_is(open_pipeline):
    pipe = open_pipeline()
    with pytest.warns(UserWarning, match="compile_pipeline: vae has no repeated blocks and runs as it is"):
        pipe.compile_pipeline(backend="aot_eager", compile_models=["vae"])
