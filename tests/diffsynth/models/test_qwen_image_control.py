"""What changes a Qwen-Image DiT from outside: ControlNets behind its blocks, and entities in its attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from diffsynth.core.attention.attention import attention
from diffsynth.core.loader.detection import model_hash
from diffsynth.models.layers import patches
from diffsynth.models.qwen_image_controlnet import Control, Controls, QwenImageBlockWiseControlNet
from diffsynth.models.qwen_image_dit import Entities, QwenImageDiT

SIZES = {"num_layers": 2, "num_heads": 2, "head_dim": 64, "text_dim": 48}
CPU = torch.device("cpu")


def with_random_norms(model):
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture
def dit():
    torch.manual_seed(0)
    return with_random_norms(QwenImageDiT(**SIZES).eval().requires_grad_(False))


def control_net(seed=0, **sizes):
    torch.manual_seed(seed)
    network = QwenImageBlockWiseControlNet(num_layers=2, dim=128, **sizes)
    return with_random_norms(network.eval().requires_grad_(False))


def inputs(batch=1):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, 16, 6, 10, generator=generator)
    return latents, torch.tensor([833.3, 41.7])[:batch], torch.randn(batch, 7, 48, generator=generator)


@pytest.mark.parametrize(
    ("additional", "published_hash"),
    [(0, "073bce9cf969e317e5662cd570c3e79c"), (4, "a9e54e480a628f0b956a688a81c33bab")],
    ids=["canny, depth", "inpaint"],
)
def test_published_hash(additional, published_hash):
    with torch.device("meta"):
        network = QwenImageBlockWiseControlNet(additional_in_dim=additional)
    assert model_hash(network.state_dict()) == published_hash
    assert network.channels == 16 + additional // 4
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert QwenImageBlockWiseControlNet.recognises(shapes.keys())
    assert QwenImageBlockWiseControlNet.kwargs_from_shapes(shapes) == {
        "num_layers": 60,
        "in_dim": 64,
        "additional_in_dim": additional,
        "dim": 3072,
    }


@pytest.mark.parametrize("edited", [0, 1])
@pytest.mark.parametrize("batch", [1, 2])
def test_controls_are_added_to_the_picture_behind_each_block(dit, batch, edited):
    """Written out step by step, of two ControlNets of which one is of inpainting."""
    one, other = control_net(1), control_net(2, additional_in_dim=4)
    latents, timestep, context = inputs(batch)
    edit_latents = [torch.randn(batch, 16, 4, 4)] * edited
    followed, masked = torch.randn(1, 16, 6, 10), torch.randn(1, 17, 6, 10)
    controls = Controls([Control(one, followed, 0.7), Control(other, masked)])
    found = dit(latents, timestep, context, edit_latents=edit_latents, controls=controls)

    def follow(number):
        def changed(block, given, output):
            pictures, text = output
            made = pictures[:, :15]  # both ControlNets look at the same tokens
            for network, conditioning, scale in ((one, followed, 0.7), (other, masked, 1.0)):
                part = network.controlnet_blocks[number]
                control = F.linear(patches(conditioning), network.img_in.weight, network.img_in.bias)
                normed = F.rms_norm(made, (128,), part.x_rms.weight, 1e-6)
                normed = normed + F.rms_norm(control, (128,), part.y_rms.weight, 1e-6)
                change = part.output_proj(F.gelu(part.input_proj(normed))) * scale
                pictures = torch.cat([pictures[:, :15] + change, pictures[:, 15:]], dim=1)
            return pictures, text

        return changed

    for number, block in enumerate(dit.blocks):
        block.register_forward_hook(follow(number))
    expected = dit(latents, timestep, context, edit_latents=edit_latents)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_new_controlnet_changes_nothing(dit):
    network = control_net()
    network.init_weight()
    latents, timestep, context = inputs()
    controls = Controls([Control(network, torch.randn(1, 16, 6, 10))])
    assert torch.equal(dit(latents, timestep, context, controls=controls), dit(latents, timestep, context))


def test_controls_come_and_go():
    early, late = (Control(None, None, start=start, end=end) for start, end in ((1.0, 0.5), (0.4, 0.0)))
    controls = Controls([early, late])
    assert [list(controls.at(left).each) for left in (1.0, 0.5, 0.45, 0.4, 0.0)] == [
        [early],
        [early],
        [],
        [late],
        [late],
    ]


def test_gradients_reach_a_controlnet_through_its_own_forward(dit):
    network = control_net().requires_grad_(True)
    latents, timestep, context = inputs()
    gradients = []
    for checkpointing in (False, True):
        network.zero_grad()

        def controlled(own, checkpointing=checkpointing):
            controls = Controls([Control(own, torch.ones(1, 16, 6, 10))])
            return dit(latents, timestep, context, controls=controls, use_gradient_checkpointing=checkpointing)

        network(controlled).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(one.abs().sum() > 0 for one in gradients[0])
    assert all(torch.equal(*each) for each in zip(*gradients, strict=True))


def test_which_tokens_attend_to_which():
    """Two entities' texts of 2 and 1 tokens, the prompt's of 1, and a picture of 1x2 tokens, one for each entity."""
    masks = torch.zeros(1, 2, 2, 4, dtype=torch.bool)
    masks[0, 0, 1, 0] = True  # one cell is enough
    masks[0, 1, 0, 3] = True
    found = Entities(masks, ()).attended((2, 1, 1), ((1, 2),), CPU)
    expected = [
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 1, 1, 1],
        [1, 1, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1],
    ]
    assert found.shape == (1, 1, 6, 6)
    assert found[0, 0].int().tolist() == expected


def test_pictures_beside_the_made_one_show_the_same_areas():
    masks = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    masks[..., :2] = True
    found = Entities(masks, ()).attended((1, 1), ((2, 2), (2, 2), (1, 2)), CPU)[0, 0]
    assert found[0, 2:].int().tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_an_entity_that_is_nowhere_changes_nothing_and_one_that_is_everywhere_does(dit):
    latents, timestep, context = inputs(2)
    plain = dit(latents, timestep, context)
    nowhere = Entities(torch.zeros(1, 1, 6, 10, dtype=torch.bool), (torch.randn(1, 5, 48),))
    torch.testing.assert_close(dit(latents, timestep, context, entities=nowhere), plain, rtol=0, atol=1e-5)
    everywhere = Entities(torch.ones(1, 1, 6, 10, dtype=torch.bool))
    assert (dit(latents, timestep, context, entities=everywhere) - plain).abs().max() > 1e-2


def test_what_attends_is_kept_for_the_steps_of_a_generation(monkeypatch):
    entities = Entities(torch.ones(1, 1, 4, 4, dtype=torch.bool), (torch.zeros(1, 3, 8),))
    first = entities.attended((3, 2), ((2, 2),), CPU)
    assert entities.attended((3, 2), ((2, 2),), CPU) is first
    tokens = torch.randn(1, 9, 2, 16)
    assert attention(tokens, tokens, tokens, mask=first).shape == tokens.shape
