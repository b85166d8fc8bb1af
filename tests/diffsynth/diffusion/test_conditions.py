"""Units of conditioning: what they contribute reaches the network, and several of them go together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffsynth.core.loader import DictSource
from diffsynth.diffusion.conditions import Call, Condition, Contribution, asked_of, combined, of_batch
from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.pipelines.wan_video import WanVideoPipeline

SIZE = {"height": 32, "width": 48, "num_frames": 9}
SETTINGS = {**SIZE, "num_inference_steps": 3, "seed": 0, "output_type": "latent", "progress_bar_cmd": iter}


class Fixed(Condition):
    """A unit that contributes what it was made with, and remembers the calls that it checked."""

    def __init__(self, contribution: Contribution) -> None:
        self.contribution = contribution
        self.checked: list[Call] = []

    def is_asked(self, call: Call) -> bool:
        return True

    def check(self, call: Call) -> None:
        self.checked.append(call)

    def prepare(self, call: Call) -> Contribution:
        assert self.checked == [call]
        return self.contribution


def pipeline_of(dit: WanModel, units: tuple[Fixed, ...]) -> WanVideoPipeline:
    class Conditioned(WanVideoPipeline):
        conditions = units

    pipe = Conditioned("cpu", torch.float32)
    pipe.adopt("dit", LoadedModel("wan_video_dit", dit, torch.float32, None, DictSource(dit.state_dict()), {}))
    return pipe


@pytest.fixture
def texts() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(1, 5, 16, generator=generator) for name in ("prompt_embeds", "negative_prompt_embeds")}


def dit_of(channels: int) -> WanModel:
    torch.manual_seed(0)
    return WanModel(128, 64, 1, 2, in_dim=channels, text_dim=16).eval().requires_grad_(False)


def test_channels_stand_beside_the_latents_in_every_call(texts: dict[str, Tensor]) -> None:
    dit = dit_of(20)
    generator = torch.Generator().manual_seed(2)
    parts = [torch.randn(1, count, 3, 4, 6, generator=generator) for count in (1, 3)]
    pipe = pipeline_of(dit, tuple(Fixed(Contribution(channels=part)) for part in parts))
    seen: list[Tensor] = []
    dit.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    for settings in ({}, {"cfg_merge": True}, {"num_videos_per_prompt": 2}):
        seen.clear()
        for unit in pipe.conditions:
            unit.checked.clear()
        pipe(**SETTINGS, **texts, **settings)
        assert len(seen) == (3 if settings.get("cfg_merge") else 6)
        for given in seen:
            assert given.shape[1] == 20
            assert torch.equal(given[:, 16:], torch.cat(parts, dim=1).expand(len(given), -1, -1, -1, -1))


def test_channels_follow_a_window(texts: dict[str, Tensor]) -> None:
    dit = dit_of(17)
    frames = torch.arange(3.0).view(1, 1, 3, 1, 1).expand(1, 1, 3, 4, 6)
    pipe = pipeline_of(dit, (Fixed(Contribution(channels=frames)),))
    seen: list[list[float]] = []
    dit.register_forward_pre_hook(lambda module, args: seen.append(args[0][0, 16, :, 0, 0].tolist()))
    pipe(**SETTINGS, **texts, cfg_scale=1, sliding_window_size=2, sliding_window_stride=1)
    assert seen == [[0, 1], [1, 2]] * 3


def test_what_is_kept_stays_while_the_rest_is_made(texts: dict[str, Tensor]) -> None:
    dit = dit_of(16)
    mask = torch.zeros(1, 1, 3, 1, 1)
    mask[:, :, 0] = 1
    clean = torch.full((1, 16, 3, 4, 6), 7.0)
    pipe = pipeline_of(dit, (Fixed(Contribution(kept=(mask, clean))),))
    seen: list[Tensor] = []
    dit.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    made = pipe(**SETTINGS, **texts, cfg_scale=1)
    for latents in (*seen, made):
        assert (latents[:, :, 0] == 7).all()
        assert not (latents[:, :, 1:] == 7).any()


def test_clean_latents_are_noised_to_the_first_level(texts: dict[str, Tensor]) -> None:
    dit = dit_of(16)
    clean = torch.randn(1, 16, 3, 4, 6, generator=torch.Generator().manual_seed(3))
    pipe = pipeline_of(dit, (Fixed(Contribution(latents=clean)),))
    seen: list[Tensor] = []
    dit.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    pipe(**SETTINGS, **texts, cfg_scale=1, denoising_strength=0.5)
    sigma = 5 * 0.5 / (1 + 4 * 0.5)
    noise = pipe.draw_noise(0, "cpu", 32, 48, 9)
    assert torch.allclose(seen[0], (1 - sigma) * clean + sigma * noise, atol=1e-6)


def test_units_are_looked_at_one_after_another() -> None:
    """The first that has something to say says it, whatever the next makes of what it was given."""

    class Refusing(Fixed):
        def check(self, call: Call) -> None:
            raise ValueError("the first")

    class Confused(Fixed):
        def is_asked(self, call: Call) -> bool:
            raise ValueError("the second")

    with pytest.raises(ValueError, match="the first"):
        asked_of([Refusing(Contribution()), Confused(Contribution())], None)


def test_several_go_together_unless_they_set_the_same() -> None:
    one, other = torch.zeros(1, 2, 3), torch.ones(1, 1, 3)
    both = combined([Contribution(channels=one, inputs={"a": 1}), Contribution(channels=other, inputs={"b": 2})])
    assert both.channels[0, :, 0].tolist() == [0, 0, 1]
    assert both.inputs == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="2 of the inputs give the latents"):
        combined([Contribution(latents=one), Contribution(latents=other)])
    with pytest.raises(ValueError, match="two of the inputs give a:"):
        combined([Contribution(inputs={"a": 1}), Contribution(inputs={"a": 1})])


def test_inputs_are_shared_by_a_batch() -> None:
    one, of_each = torch.ones(1, 4, 2), torch.ones(3, 4, 2)
    assert of_batch(one, 3).shape == (3, 4, 2)
    assert of_batch(of_each, 3) is of_each
    assert [part.shape for part in of_batch([one, one], 2)] == [(2, 4, 2)] * 2
    assert of_batch("text", 3) == "text"
