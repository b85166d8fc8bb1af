"""The Wan VAE against diffusers' AutoencoderKLWan, on the same small random weights."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from diffsynth.core.loader import model_hash
from diffsynth.models.causal_conv3d import CausalConv3d, conv3d, paired_conv2d, summed_conv2d
from diffsynth.models.wan_video_vae import DEVIATION, MEAN, WanVideoVAE

STATISTICS = torch.tensor([MEAN, DEVIATION]).view(2, 1, -1, 1, 1, 1)
SIZES = [(1, 32, 48), (5, 48, 32), (9, 32, 64), (13, 40, 32)]


def random_vae(dim: int = 8, **sizes: int) -> WanVideoVAE:
    torch.manual_seed(0)
    vae = WanVideoVAE(dim, **sizes).eval().requires_grad_(False)
    for name, parameter in vae.named_parameters():
        if name.endswith("gamma"):
            parameter.normal_(1, 0.2)  # all ones would hide a gamma left out
    return vae


@pytest.fixture(scope="module")
def vae() -> WanVideoVAE:
    return random_vae()


@pytest.fixture(scope="module")
def peer(vae):
    from diffusers import AutoencoderKLWan
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    peer = AutoencoderKLWan(base_dim=8).eval().requires_grad_(False)
    peer.load_state_dict(convert_wan_vae_to_diffusers(dict(vae.state_dict())))
    return peer


def random_video(frames: int, height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def random_latents(frames: int, height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 16, frames, height, width, generator=torch.Generator().manual_seed(2))


def assert_close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def on_meta(dim: int = 96, **sizes: int) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return WanVideoVAE(dim, **sizes).state_dict()


@pytest.mark.parametrize("size", SIZES)
def test_encode_agrees_with_diffusers(vae, peer, size):
    mean, deviation = STATISTICS
    video = random_video(*size)
    found = vae.encode(video)
    assert found.shape == (1, 16, (size[0] - 1) // 4 + 1, size[1] // 8, size[2] // 8)
    assert found.dtype == torch.float32
    assert_close(found, (peer.encode(video).latent_dist.mode() - mean) / deviation)
    assert found.std() > 0.05  # else the bound says nothing


@pytest.mark.parametrize("size", SIZES)
def test_decode_agrees_with_diffusers(vae, peer, size):
    mean, deviation = STATISTICS
    latents = random_latents((size[0] - 1) // 4 + 1, size[1] // 8, size[2] // 8)
    found = vae.decode(latents)
    assert found.shape == (1, 3, *size)
    assert found.dtype == torch.float32
    assert_close(found, peer.decode(latents * deviation + mean).sample)
    assert found.std() > 0.05
    assert found.abs().max() <= 1


def test_several_videos_at_once(vae):
    video, latents = random_video(5, 32, 40, batch=2), random_latents(2, 4, 5, batch=2)
    assert_close(vae.encode(video), torch.cat([vae.encode(one) for one in video.split(1)]))
    assert_close(vae.decode(latents), torch.cat([vae.decode(one) for one in latents.split(1)]))


@pytest.mark.parametrize("convolve", [summed_conv2d, conv3d])
def test_the_ways_to_convolve_agree(vae, convolve):
    other = random_vae()
    other.convolve_with(convolve)
    video, latents = random_video(9, 32, 40), random_latents(3, 4, 5)
    assert_close(other.encode(video), vae.encode(video))
    assert_close(other.decode(latents), vae.decode(latents))


@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize(("earlier", "count"), [(0, 1), (0, 2), (0, 4), (1, 1), (1, 4), (2, 1), (2, 4)])
def test_a_causal_convolution_takes_the_frames_there_are(kernel, earlier, count):
    """All ways, against zeros in front, for every number of frames that a history may hold."""
    torch.manual_seed(0)
    layer = CausalConv3d(4, 5, kernel).requires_grad_(False)
    frames = torch.randn(2, earlier + count, 6, 7, 4)
    padded = torch.nn.functional.pad(frames, (0, 0, 0, 0, 0, 0, kernel[0] - 1, 0)).movedim(-1, 1)
    padding = (0, kernel[1] // 2, kernel[2] // 2)
    expected = torch.nn.functional.conv3d(padded, layer.weight, layer.bias, padding=padding)[:, :, -count:]
    for convolve in (paired_conv2d, summed_conv2d, conv3d):
        if kernel[0] > earlier:
            assert_close(convolve(frames, count, layer.weight, layer.bias).movedim(-1, 1), expected)


def test_later_frames_do_not_change_earlier_ones(vae):
    video, latents = random_video(9, 32, 40), random_latents(3, 4, 5)
    assert torch.equal(vae.encode(video)[:, :, :2], vae.encode(video[:, :, :5]))
    assert torch.equal(vae.decode(latents)[:, :, :5], vae.decode(latents[:, :, :2]))


def test_framewise_is_each_frame_alone(vae):
    video, latents = random_video(3, 32, 40), random_latents(3, 4, 5)
    encoded = [vae.encode(frame) for frame in video.split(1, dim=2)]
    assert torch.equal(vae.encode(video, framewise=True), torch.cat(encoded, dim=2))
    decoded = [vae.decode(frame) for frame in latents.split(1, dim=2)]
    assert torch.equal(vae.decode(latents, framewise=True), torch.cat(decoded, dim=2))


def test_what_is_given_is_not_changed(vae):
    video, latents = random_video(5, 32, 40), random_latents(2, 4, 5)
    kept = video.clone(), latents.clone()
    vae.encode(video)
    vae.decode(latents)
    assert torch.equal(video, kept[0])
    assert torch.equal(latents, kept[1])


def test_bfloat16_weights_take_and_give_float32(vae):
    half = random_vae().bfloat16()
    video, latents = random_video(5, 32, 40), random_latents(2, 4, 5)
    encoded, decoded = half.encode(video), half.decode(latents)
    assert encoded.dtype == decoded.dtype == torch.float32
    # Of the spread, bfloat16 costs that much; diffusers' loses as much.
    assert (encoded - vae.encode(video)).square().mean().sqrt() < 1e-2 * encoded.std()
    assert (decoded - vae.decode(latents)).square().mean().sqrt() < 6e-2 * decoded.std()


class Types(TorchDispatchMode):
    """Notes the types of all results."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.seen |= {part.dtype for part in torch.utils._pytree.tree_leaves(result) if isinstance(part, torch.Tensor)}
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_is_float64_or_complex(dtype):
    vae = random_vae().to(dtype)
    with Types() as types:
        vae.encode(random_video(5, 48, 48), tiled=True, tile_size=(4, 4), tile_stride=(2, 2))
        vae.decode(random_latents(2, 6, 6), tiled=True, tile_size=(4, 4), tile_stride=(2, 2))
    assert dtype in types.seen
    assert types.seen <= {torch.float32, torch.bfloat16, torch.int64}


def test_gradients_of_encode_are_those_of_diffusers(peer):
    vae = random_vae().requires_grad_(True)
    _, deviation = STATISTICS
    ours, theirs = (random_video(5, 32, 40).requires_grad_() for _ in range(2))
    factors = torch.randn(1, 16, 2, 4, 5, generator=torch.Generator().manual_seed(3))
    (vae.encode(ours) * factors).sum().backward()
    (peer.encode(theirs).latent_dist.mode() / deviation * factors).sum().backward()
    assert_close(ours.grad, theirs.grad)
    assert theirs.grad.std() > 1e-2
    used = {name for name, parameter in vae.named_parameters() if parameter.grad is not None}
    assert used == {name for name, _ in vae.named_parameters() if name.startswith(("encoder.", "conv1."))}


def test_names_and_shapes_of_the_published_file():
    published = on_meta()
    assert len(published) == 194
    assert model_hash(published) == "ccc42284ea13e1ad04693284c7a09be6"


@pytest.mark.parametrize("sizes", [{"dim": 8}, {"dim": 96, "z_dim": 16}, {"dim": 6, "z_dim": 4, "num_res_blocks": 1}])
def test_sizes_are_read_from_the_shapes(sizes):
    shapes = {key: tuple(value.shape) for key, value in on_meta(**sizes).items()}
    assert WanVideoVAE.recognises(shapes.keys())
    assert WanVideoVAE.kwargs_from_shapes(shapes) == {"z_dim": 16, "num_res_blocks": 2, **sizes}


def test_latents_of_another_number_of_channels_are_not_normalised():
    vae = random_vae(4, z_dim=5, num_res_blocks=1)
    video = random_video(5, 16, 24)
    assert vae.encode(video).shape == (1, 5, 2, 2, 3)
    moments = vae.conv1(vae.encoder(video[:, :, :1].movedim(1, -1), None), None)
    assert_close(vae.encode(video)[:, :, :1], moments[..., :5].movedim(-1, 1), atol=1e-6)


@pytest.mark.parametrize(
    "keys",
    [
        {"encoder.down_blocks.0.conv1.weight", "decoder.up_blocks.0.resnets.0.conv1.weight"},
        {"encoder.downsamples.0.downsamples.0.residual.2.weight", "decoder.upsamples.0.upsamples.0.residual.2.weight"},
        {"blocks.0.self_attn.q.weight"},
    ],
)
def test_other_networks_are_not_recognised(keys):
    assert not WanVideoVAE.recognises(keys)


def test_parameters_need_to_be_there_only_during_their_own_modules_forward(vae):
    """The weights of each smallest module are on meta except while it runs."""
    video, latents = random_video(5, 32, 40), random_latents(2, 4, 5)
    state = vae.state_dict()
    absent = random_vae().to("meta")
    ran = set()
    for prefix, module in absent.named_modules():
        if next(module.parameters(recurse=False), None) is None:
            continue
        held = {key: state[f"{prefix}.{key}"] for key in module.state_dict()}

        def load(module, *_, held=held, prefix=prefix):
            module.load_state_dict(held, assign=True)
            ran.add(prefix)

        module.register_forward_pre_hook(load)
        module.register_forward_hook(lambda module, *_: module.to("meta") and None)
    assert torch.equal(absent.encode(video), vae.encode(video))
    assert torch.equal(absent.decode(latents), vae.decode(latents))
    assert ran == {key.rpartition(".")[0] for key in state}


@pytest.mark.parametrize("shape", [(1, 3, 4, 32, 32), (1, 3, 5, 32, 36), (1, 4, 5, 32, 32), (3, 5, 32, 32)])
def test_a_video_of_the_wrong_shape(vae, shape):
    with pytest.raises(ValueError, match=r"a video of shape .*: expected \(batch, 3, frames, .* 4n \+ 1 frames"):
        vae.encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 8, 2, 4, 4), (16, 2, 4, 4)])
def test_latents_of_the_wrong_shape(vae, shape):
    with pytest.raises(ValueError, match=r"latents of shape .*expected \(batch, 16, frames, height, width\)"):
        vae.decode(torch.zeros(shape))
