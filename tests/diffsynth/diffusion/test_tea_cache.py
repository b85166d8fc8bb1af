"""TeaCache skips where the modulation hardly moves, and never at the ends."""

import itertools

import numpy as np
import pytest
import torch

from diffsynth.diffusion.tea_cache import COEFFICIENTS, TeaCache


def walk(cache, modulations):
    ran = []
    for modulation in modulations:
        tokens = torch.ones(1, 2, 3)
        after = cache.skip(torch.tensor([modulation]), tokens)
        ran.append(after is None)
        if after is None:
            cache.store(tokens, tokens + 5)
        else:
            assert torch.equal(after, tokens + 5)
    return ran


def test_nothing_new_is_skipped_but_for_the_ends():
    cache = TeaCache(6, rel_l1_thresh=1.0, model_id="Wan2.1-T2V-1.3B")
    assert walk(cache, [1.0] * 6) == [True, False, False, False, False, True]
    assert cache.skipped == 4


def test_a_threshold_of_zero_runs_every_step():
    assert all(walk(TeaCache(5, 0.0, "Wan2.1-T2V-14B"), [1.0, 1.1, 1.2, 1.3, 1.4]))


@pytest.mark.parametrize("model_id", COEFFICIENTS)
def test_signed_estimates_add_up_until_the_threshold(model_id):
    threshold, modulations = 0.2, [1.0, 1.03, 1.1, 1.11, 1.2, 1.3, 1.34, 1.34, 1.45, 1.47, 1.5, 1.6]
    polynomial, expected, total = np.poly1d(COEFFICIENTS[model_id]), [True], 0.0
    for before, now in itertools.pairwise(modulations[:-1]):
        total += polynomial((now - before) / before)
        expected.append(total >= threshold)
        total = 0.0 if total >= threshold else total
    cache = TeaCache(len(modulations), threshold, model_id)
    assert walk(cache, modulations) == [*expected, True]
    assert 0 < cache.skipped < len(modulations) - 2


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean 'Wan2\.1-T2V-1\.3B'"):
        TeaCache(4, 0.1, "Wan2.1-T2V-1.3b")
