"""A network in the wrapper of an engine that trains it, as a validation calls it: not one bit differs."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE

VIDEO = {**QUICK, "num_frames": 5, "num_inference_steps": 2, "output_type": "latent"}
PICTURE = {**QUICK_PICTURE, "height": 32, "width": 48, "num_inference_steps": 2, "output_type": "latent"}


@pytest.fixture
def process_group(tmp_path):
    """Of this process alone, which DDP asks for."""
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@contextmanager
def in_the_wrapper_of_an_engine(pipe):
    plain = pipe.networks["dit"]
    plain.module.requires_grad_(True)
    pipe.adopt("dit", replace(plain, module=DistributedDataParallel(plain.module)))
    try:
        yield
    finally:
        pipe.adopt("dit", plain)
        plain.module.requires_grad_(False)


@pytest.mark.parametrize(("model", "options"), [("wan21", VIDEO), ("qwen", PICTURE)])
def test_a_network_in_the_wrapper_of_an_engine_makes_the_same_bits(model, options, request, process_group):
    pipe = request.getfixturevalue(model)
    expected = pipe("a dog", **options)
    with in_the_wrapper_of_an_engine(pipe):
        found = pipe("a dog", **options)
    assert torch.equal(found, expected)
