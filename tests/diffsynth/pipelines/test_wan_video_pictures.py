"""Wan's models that take pictures, videos and masks: against diffusers on the same weights, and what does not fit."""

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanVACEPipeline
from PIL import Image

from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines import diffusers_oracle as oracle

PROMPT, NEGATIVE = "a red boat leaves the harbour", "static, blurry"
BOUND = 1e-4
QUICK = {"height": 32, "width": 64, "num_frames": 5, "num_inference_steps": 4, "seed": 0, "tiled": False}
T5, VAE, CLIP = (
    "models_t5_umt5-xxl-enc-bf16.pth",
    "Wan2.1_VAE.pth",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
)
DIT = "diffusion_pytorch_model*.safetensors"
EXPERTS = [f"{noise}_noise_model/{DIT}" for noise in ("high", "low")]
FILES = {
    "Wan-AI/Wan2.1-I2V-14B-480P": [DIT, T5, VAE, CLIP],
    "Wan-AI/Wan2.1-FLF2V-14B-720P": [DIT, T5, VAE, CLIP],
    "Wan-AI/Wan2.2-I2V-A14B": [*EXPERTS, T5, VAE],
    "Wan-AI/Wan2.2-TI2V-5B": [DIT, T5, "Wan2.2_VAE.pth"],
    "Wan-AI/Wan2.1-VACE-1.3B": [DIT, T5, VAE],
    "PAI/Wan2.2-VACE-Fun-A14B": [*EXPERTS, T5, VAE],
    "PAI/Wan2.1-Fun-1.3B-InP": [DIT, T5, VAE, CLIP],
    "PAI/Wan2.1-Fun-1.3B-Control": [DIT, T5, VAE, CLIP],
    "PAI/Wan2.1-Fun-V1.1-1.3B-Control": [DIT, T5, VAE, CLIP],
    "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera": [DIT, T5, VAE, CLIP],
    "PAI/Wan2.2-Fun-A14B-Control": [*EXPERTS, T5, VAE],
    "PAI/Wan2.2-Fun-A14B-Control-Camera": [*EXPERTS, T5, VAE],
}


@pytest.fixture(scope="module")
def open_model(tmp_path_factory):
    """Makes a pipeline of a model: open_model(model_id, vram_config={}, **options of from_pretrained)."""
    root = tmp_path_factory.mktemp("kinds")

    def open_it(model_id, vram_config=None, **options):
        if not (root / model_id).exists():
            make_weights(model_id, root)
        return pipeline_of(model_id, root, vram_config, **options)

    open_it.root = root
    return open_it


def pipeline_of(model_id, root, vram_config=None, **options):
    from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline

    def config(pattern, **keys):
        place = {"local_model_path": str(root), "skip_download": True}
        return ModelConfig(model_id=model_id, origin_file_pattern=pattern, **place, **keys)

    settings = {"torch_dtype": torch.float32, "device": "cpu", "redirect_common_files": False, **options}
    return WanVideoPipeline.from_pretrained(
        model_configs=[config(pattern, **(vram_config or {})) for pattern in FILES[model_id]],
        tokenizer_config=config("google/umt5-xxl/"),
        **settings,
    )


def picture(number, width=64, height=32):
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def clip(number, length=5):
    return [picture(100 * number + frame) for frame in range(length)]


# A call of each kind.
CALLS = {
    "Wan-AI/Wan2.1-I2V-14B-480P": {"input_image": picture(1)},
    "Wan-AI/Wan2.2-TI2V-5B": {"input_image": picture(1)},
    "PAI/Wan2.2-VACE-Fun-A14B": {"vace_video": clip(1), "vace_reference_image": picture(2)},
    "PAI/Wan2.1-Fun-V1.1-1.3B-Control": {"control_video": clip(1), "reference_image": picture(2)},
    "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera": {"input_image": picture(1), "camera_control_direction": "In"},
    "PAI/Wan2.2-Fun-A14B-Control": {"control_video": clip(1), "reference_image": picture(2)},
    "PAI/Wan2.2-Fun-A14B-Control-Camera": {"input_image": picture(1), "camera_control_direction": "RightUp"},
}


def difference(one, other):
    return (one - other).abs().max().item()


def peer(kind, ours, root, **options):
    """A pipeline of diffusers with the weights of `ours`, whose second DiT takes over where ours does."""
    boundary = None if ours.dit2 is None else 0.875
    return oracle.pipeline(ours, next(root.glob("*/*/google/umt5-xxl")), kind, boundary=boundary, **options)


def ours_of(pipe, **options):
    return pipe(PROMPT, NEGATIVE, output_type="latent", **{**QUICK, **options})


def theirs_of(theirs, latents, **options):
    return theirs(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=32,
        width=64,
        num_frames=5,
        num_inference_steps=4,
        guidance_scale=5.0,
        latents=latents.clone(),
        output_type="latent",
        **options,
    ).frames


@pytest.mark.parametrize(
    ("model_id", "last"),
    [
        ("Wan-AI/Wan2.1-I2V-14B-480P", False),
        ("Wan-AI/Wan2.1-FLF2V-14B-720P", True),
        ("Wan-AI/Wan2.2-I2V-A14B", False),
        ("Wan-AI/Wan2.2-I2V-A14B", True),
    ],
)
def test_from_a_first_frame_as_in_diffusers(open_model, model_id, last):
    pipe = open_model(model_id)
    first, end = picture(1), picture(2) if last else None
    found = ours_of(pipe, input_image=first, end_image=end)
    features = None
    if pipe.image_encoder is not None:
        seen = [torch.from_numpy(np.array(one)).permute(2, 0, 1)[None] / 127.5 - 1 for one in (first, end) if one]
        with torch.no_grad():
            features = torch.cat([pipe.image_encoder(one.float()) for one in seen])
    theirs = peer(WanImageToVideoPipeline, pipe, open_model.root)
    noise = pipe.draw_noise(0, "cpu", 32, 64, 5)
    given = {} if features is None else {"image_embeds": features}
    if features is not None:  # which it takes in the place of a picture, and then encodes one all the same
        theirs.check_inputs = lambda *_, **__: None
    expected = theirs_of(theirs, noise, image=first, last_image=end, **given)
    assert found.std() > 0.1
    assert difference(found, expected) < BOUND
    other = ours_of(pipe, input_image=picture(3), end_image=end)
    assert difference(found, other) > 100 * BOUND


@pytest.mark.parametrize("from_picture", [True, False])
def test_ti2v_5b_as_in_diffusers(open_model, from_picture):
    pipe = open_model("Wan-AI/Wan2.2-TI2V-5B")
    kind = WanImageToVideoPipeline if from_picture else WanPipeline
    theirs = peer(kind, pipe, open_model.root, expand_timesteps=True)
    given = {"image": picture(1)} if from_picture else {}
    found = ours_of(pipe, **({"input_image": picture(1)} if from_picture else {}))
    noise = pipe.draw_noise(0, "cpu", 32, 64, 5)
    assert noise.shape == (1, 48, 2, 2, 4)
    assert difference(found, theirs_of(theirs, noise, **given)) < BOUND


@pytest.mark.parametrize("model_id", ["Wan-AI/Wan2.1-VACE-1.3B", "PAI/Wan2.2-VACE-Fun-A14B"])
def test_vace_as_in_diffusers(open_model, model_id):
    pipe = open_model(model_id)
    video, reference = clip(1), picture(7)
    mask = [Image.fromarray(np.uint8(np.random.default_rng(n).integers(0, 2, (32, 64)) * 255)) for n in range(5)]
    found = ours_of(pipe, vace_video=video, vace_video_mask=mask, vace_reference_image=reference, vace_scale=0.7)
    theirs = peer(WanVACEPipeline, pipe, open_model.root)
    noise = pipe.draw_noise(0, "cpu", 32, 64, 5, before=1)
    expected = theirs_of(theirs, noise, video=video, mask=mask, reference_images=[[reference]], conditioning_scale=0.7)
    assert found.shape == (1, 16, 2, 4, 8)
    assert difference(found, expected[:, :, 1:]) < BOUND
    plain = ours_of(pipe)
    assert difference(found, plain) > 100 * BOUND


def raises(message):
    return pytest.raises((ValueError, RuntimeError), match=message)


@pytest.mark.parametrize(
    ("model_id", "given", "message"),
    [
        ("Wan-AI/Wan2.1-I2V-14B-480P", {}, "this model starts from a picture, and none was given"),
        ("Wan-AI/Wan2.1-I2V-14B-480P", {"input_image": "boat.png"}, "input_image='boat.png' is a path"),
        ("Wan-AI/Wan2.1-I2V-14B-480P", {"input_image": [1]}, "input_image is a list: expected a PIL image"),
        ("Wan-AI/Wan2.1-I2V-14B-480P", {"end_image": picture(1)}, "end_image needs an input_image to come from"),
        (
            "Wan-AI/Wan2.1-I2V-14B-480P",
            {"input_image": picture(1), "end_image": picture(1), "num_frames": 1},
            "end_image needs frames between it and input_image, and num_frames is 1",
        ),
        (
            "Wan-AI/Wan2.1-I2V-14B-480P",
            {"input_image": picture(1), "control_video": clip(1)},
            "control_video: this model follows none; load one that does",
        ),
        (
            "Wan-AI/Wan2.1-I2V-14B-480P",
            {"input_image": picture(1), "camera_control_direction": "Left"},
            "camera_control_direction: this model moves no camera",
        ),
        (
            "Wan-AI/Wan2.1-I2V-14B-480P",
            {"input_image": picture(1), "vace_video": clip(1)},
            "vace_video: the dit has no VACE beside it; load a model that has",
        ),
        ("Wan-AI/Wan2.1-FLF2V-14B-720P", {"input_image": picture(1)}, "pass end_image=a PIL image as well"),
        (
            "Wan-AI/Wan2.2-TI2V-5B",
            {"input_image": picture(1), "end_image": picture(1)},
            "end_image: this model ends at",
        ),
        ("Wan-AI/Wan2.1-VACE-1.3B", {"input_image": picture(1)}, "input_image: this model starts from no picture"),
        ("Wan-AI/Wan2.1-VACE-1.3B", {"vace_video": clip(1, 3)}, "vace_video has 3 frames, but num_frames is 5"),
        ("Wan-AI/Wan2.1-VACE-1.3B", {"vace_video": "clip.mp4"}, "vace_video='clip.mp4' is a path: expected frames"),
        (
            "Wan-AI/Wan2.1-VACE-1.3B",
            {"vace_reference_image": picture(1, 40, 40)},
            "frame 0 of vace_reference_image is 40x40, but the video asked for is 64x32",
        ),
        ("Wan-AI/Wan2.1-VACE-1.3B", {"vace_video": clip(1), "vace_scale": "much"}, "vace_scale='much'"),
        (
            "Wan-AI/Wan2.1-VACE-1.3B",
            {"vace_video": clip(1), "num_frames": 9, "sliding_window_size": 2, "sliding_window_stride": 1},
            "vace_video has 5 frames, but num_frames is 9",
        ),
        (
            "Wan-AI/Wan2.1-VACE-1.3B",
            {"vace_video": clip(1), "sliding_window_size": 2, "sliding_window_stride": 1},
            "sliding_window_size: what this model is given belongs to the whole video",
        ),
        ("PAI/Wan2.1-Fun-1.3B-Control", {}, "this model follows a control_video, and none was given"),
        ("PAI/Wan2.1-Fun-1.3B-Control", {"control_video": clip(1, 3)}, "control_video has 3 frames"),
        (
            "PAI/Wan2.1-Fun-1.3B-Control",
            {"control_video": clip(1), "reference_image": picture(1)},
            "reference_image: this model takes none; load one that does",
        ),
        (
            "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera",
            {"input_image": picture(1)},
            "this model moves a camera: pass camera_control_direction, one of 'Left', 'Right'",
        ),
        (
            "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera",
            {"input_image": picture(1), "camera_control_direction": "left"},
            "camera_control_direction='left': expected one of 'Left'",
        ),
        (
            "PAI/Wan2.1-Fun-V1.1-1.3B-Control-Camera",
            {"input_image": picture(1), "camera_control_direction": "In", "camera_control_origin": (1, 2)},
            "camera_control_origin=.* expected 19 numbers",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(open_model, model_id, given, message):
    ran = []
    pipe = open_model(model_id)
    pipe.dit.register_forward_pre_hook(lambda *_: ran.append(1))
    with raises(message):
        ours_of(pipe, **given)
    assert not ran


def test_an_image_encoder_that_is_missing(open_model):
    pipe = open_model("Wan-AI/Wan2.1-I2V-14B-480P")
    pipe.networks.pop("image_encoder")
    pipe.image_encoder = None
    with raises("making a video needs the image_encoder, and none was loaded"):
        ours_of(pipe, input_image=picture(1))


def test_the_vae_of_another_model(open_model):
    models = open_model.root
    from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline

    for model_id in ("Wan-AI/Wan2.2-TI2V-5B", "Wan-AI/Wan2.1-VACE-1.3B"):
        open_model(model_id)
    files = [models / "Wan-AI/Wan2.1-VACE-1.3B/diffusion_pytorch_model.safetensors"]
    files.append(models / "Wan-AI/Wan2.2-TI2V-5B/Wan2.2_VAE.pth")
    with raises("the dit makes latents of 16 channels, and the vae takes 48: load both from the same model"):
        WanVideoPipeline.from_pretrained(device="cpu", model_configs=[ModelConfig(path=str(file)) for file in files])


@pytest.mark.parametrize(("model_id", "given"), CALLS.items(), ids=CALLS)
def test_memory_modes_are_equal_to_the_bit(open_model, model_id, given):
    from_disk = {
        **dict.fromkeys(("offload_dtype", "offload_device"), "disk"),
        **dict.fromkeys(("onload_dtype", "preparing_dtype", "computation_dtype"), torch.float32),
        **dict.fromkeys(("onload_device", "preparing_device", "computation_device"), "cpu"),
    }
    plain = ours_of(open_model(model_id), **given, num_inference_steps=2)
    managed = ours_of(open_model(model_id, from_disk), **given, num_inference_steps=2)
    assert torch.equal(plain, managed)


def test_several_videos_at_once_and_merged_guidance(open_model):
    for model_id, given in (
        ("PAI/Wan2.1-Fun-V1.1-1.3B-Control", {"control_video": clip(1), "reference_image": picture(2)}),
        ("Wan-AI/Wan2.1-VACE-1.3B", {"vace_video": clip(1), "vace_reference_image": picture(2)}),
        ("Wan-AI/Wan2.2-TI2V-5B", {"input_image": picture(1)}),
    ):
        pipe = open_model(model_id)
        alone = ours_of(pipe, **given, num_inference_steps=2)
        two = ours_of(pipe, **given, num_inference_steps=2, num_videos_per_prompt=2)
        assert two.shape[0] == 2
        assert difference(two[:1], alone) < BOUND
        assert difference(ours_of(pipe, **given, num_inference_steps=2, cfg_merge=True), alone) < BOUND


def test_longer_videos_and_one_mask_for_all_frames(open_model):
    pipe = open_model("Wan-AI/Wan2.1-VACE-1.3B")
    white = Image.new("L", (64, 32), 255)
    short = ours_of(pipe, vace_video=clip(1), vace_video_mask=[white] * 5, num_inference_steps=1)
    longer = [*clip(1), *clip(2)]
    assert torch.equal(ours_of(pipe, vace_video=longer, vace_video_mask=white, num_inference_steps=1), short)
    assert torch.equal(ours_of(pipe, vace_video=clip(1), num_inference_steps=1), short)
