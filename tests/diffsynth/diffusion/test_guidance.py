"""Classifier-free guidance: the formula, and how often the network runs."""

import pytest
import torch

from diffsynth.diffusion.guidance import BOTH, NEGATIVE, POSITIVE, guided

VALUES = {POSITIVE: 3.0, NEGATIVE: 1.0}


def predict_from(calls):
    def predict(latents, branch):
        calls.append((branch, latents.shape[0]))
        if branch == BOTH:
            return torch.cat([torch.full_like(latents[:1], VALUES[name]) for name in (POSITIVE, NEGATIVE)])
        return torch.full_like(latents, VALUES[branch])

    return predict


@pytest.mark.parametrize(
    ("merge", "expected"), [(False, [(POSITIVE, 1), (NEGATIVE, 1)]), (True, [(BOTH, 2)])], ids=["apart", "merged"]
)
def test_the_branches_are_drawn_apart(merge, expected):
    calls = []
    velocity = guided(predict_from(calls), torch.zeros(1, 2), cfg_scale=5.0, merge=merge)
    assert velocity.tolist() == [[11.0, 11.0]]
    assert calls == expected


@pytest.mark.parametrize("merge", [False, True])
def test_a_scale_of_one_leaves_the_negative_pass_out(merge):
    calls = []
    assert guided(predict_from(calls), torch.zeros(1, 2), cfg_scale=1, merge=merge).tolist() == [[3.0, 3.0]]
    assert calls == [(POSITIVE, 1)]
