"""Videos from pictures, controls and masks, shared by two and three processes, beside one alone."""

import pytest
import torch

from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.ranks import run_ranks

PROGRAM = """
import os, sys
import torch
from pathlib import Path
from diffsynth.pipelines.wan_video import WanVideoPipeline
from tests.diffsynth.pipelines.test_wan_video_pictures import CALLS, QUICK, pipeline_of

made = {}
for model_id, given in CALLS.items():
    pipe = pipeline_of(model_id, Path(os.environ["FOLDER"]), use_usp="DEGREE" in os.environ,
                       **({"ulysses_degree": 1, "ring_degree": int(os.environ["DEGREE"]), "cfg_degree": 1}
                          if "DEGREE" in os.environ else {}))
    made[model_id] = pipe("a dog", output_type="latent", **{**QUICK, "num_inference_steps": 2}, **given)
if os.environ.get("RANK", "0") == "0":
    torch.save(made, os.environ["SAVED"])
"""


@pytest.mark.slow
def test_several_processes_make_what_one_makes(tmp_path):
    from tests.diffsynth.pipelines.test_wan_video_pictures import CALLS

    for model_id in CALLS:
        make_weights(model_id, tmp_path)
    made = {}
    for count in (1, 2, 3):
        degree = {} if count == 1 else {"DEGREE": str(count)}
        saved = tmp_path / f"{count}.pt"
        run_ranks("cpu", PROGRAM, count, tmp_path, FOLDER=str(tmp_path), SAVED=str(saved), **degree)
        made[count] = torch.load(saved)
    for model_id, alone in made[1].items():
        for count in (2, 3):
            assert (made[count][model_id] - alone).abs().max() < 1e-4, (model_id, count)
