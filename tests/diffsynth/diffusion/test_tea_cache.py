"""TeaCache skips where the modulation hardly moves, and never at the ends."""

import pytest
import torch

from diffsynth.diffusion.tea_cache import TeaCache


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


def test_estimates_add_up_until_the_threshold():
    # At rest the 1.3B polynomial estimates |-0.04999| a step: the third skipped one in a row passes 0.12.
    cache = TeaCache(12, rel_l1_thresh=0.12, model_id="Wan2.1-T2V-1.3B")
    assert walk(cache, [1.0] * 8) == [True, False, False, True, False, False, True, False]


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean 'Wan2\.1-T2V-1\.3B'"):
        TeaCache(4, 0.1, "Wan2.1-T2V-1.3b")
