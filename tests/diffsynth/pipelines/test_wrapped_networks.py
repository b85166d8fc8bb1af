"""A network in the wrapper of an engine that trains it, as a validation calls it: not one bit differs."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE
from tests.process_group import alone_in_a_group

VIDEO = {**QUICK, "num_frames": 5, "num_inference_steps": 2, "output_type": "latent"}
PICTURE = {**QUICK_PICTURE, "height": 32, "width": 48, "num_inference_steps": 2, "output_type": "latent"}


@pytest.fixture
def process_group():
    """Which DDP asks for."""
    with alone_in_a_group("gloo"):
        yield


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
