"""The Z-Image pipeline: diffusers' numbers on the same weights, the same bits in every memory mode, LoRA, bad input."""

import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from diffsynth.models.flux_vae import SCALE, SHIFT
from diffsynth.models.z_image_text_encoder import LENGTH
from diffsynth.pipelines.z_image import ModelConfig, ZImagePipeline
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines import z_image_oracle as oracle
from tests.diffsynth.pipelines.test_qwen_image_offload import MODES, keys

MODEL = "Tongyi-MAI/Z-Image-Turbo"
FILES = ("transformer/*.safetensors", "text_encoder/*.safetensors", "vae/diffusion_pytorch_model.safetensors")
PROMPT, NEGATIVE = "一只小猫 in a boat", "blurry, static"
QUICK = {"height": 64, "width": 96, "num_inference_steps": 4, "seed": 0}
BOUND = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("z_image")
    make_weights(MODEL, root)
    return root


def opened(folder, vram_config=None, files=FILES, **options):
    def config(pattern, **more):
        place = {"local_model_path": str(folder), "skip_download": True}
        return ModelConfig(model_id=MODEL, origin_file_pattern=pattern, **place, **more)

    return ZImagePipeline.from_pretrained(
        model_configs=[config(pattern, **(vram_config or {})) for pattern in files],
        tokenizer_config=config("tokenizer/"),
        **{"torch_dtype": torch.float32, "device": "cpu", **options},
    )


@pytest.fixture(scope="module")
def pipe(folder):
    """Tests leave it as they found it."""
    return opened(folder)


@pytest.fixture(scope="module")
def theirs(pipe, folder):
    """diffusers' pipeline with the same weights."""
    return oracle.pipeline(pipe, folder / MODEL)


def latents_of(pipe, **options):
    return pipe(PROMPT, NEGATIVE, **{**QUICK, "output_type": "latent", **options})


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_text_to_image_as_diffusers_makes_it(pipe, theirs, scale):
    noise = pipe.draw_noise(0, "cpu", 64, 96)
    given = {"height": 64, "width": 96, "num_inference_steps": 4, "output_type": "latent"}
    expected = theirs(PROMPT, negative_prompt=NEGATIVE, guidance_scale=scale - 1, latents=noise.clone(), **given).images
    found = latents_of(pipe, cfg_scale=scale)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < BOUND


def test_image_to_image(pipe, theirs):
    """From the picture's latents, noised to the level of that strength, down the same levels."""
    given = gradient()
    pixels = torch.from_numpy(np.array(given)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        clean = (theirs.vae.encode(pixels).latent_dist.mode() - SHIFT) * SCALE
    even = np.linspace(0.6, 0, 5)[:-1]
    sigmas = 3 * even / (1 + 2 * even)
    noised = torch.lerp(clean, pipe.draw_noise(0, "cpu", 64, 96), float(sigmas[0]))
    size = {"height": 64, "width": 96, "num_inference_steps": 4, "output_type": "latent"}
    expected = theirs(PROMPT, guidance_scale=0.0, latents=noised, sigmas=even.tolist(), **size).images
    found = latents_of(pipe, input_image=given, denoising_strength=0.6)
    assert (found - expected).abs().max() < BOUND


def test_the_text_embeddings(pipe, theirs):
    (expected,) = theirs.encode_prompt(PROMPT, do_classifier_free_guidance=False)[0]
    found, mask = pipe.encode_prompt(PROMPT)
    assert mask is None
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.1


def test_the_picture(pipe, theirs):
    latents = latents_of(pipe)
    with torch.no_grad():
        expected = theirs.vae.decode(latents / SCALE + SHIFT).sample[0]
    pixels = np.floor(((expected + 1) * 127.5).clamp(0, 255).permute(1, 2, 0).numpy())
    found = pipe(PROMPT, **QUICK)
    assert found.size == (96, 64)
    assert np.abs(np.array(found) - pixels).max() <= 1  # 1e-5 may cross a whole number
    assert (np.array(found) != pixels).mean() < 1e-3
    assert torch.equal(pipe.vae_decoder(latents), pipe.vae.decode(latents))
    encoded = pipe.encode_picture(gradient())
    assert torch.equal(
        encoded, pipe.vae_encoder(torch.from_numpy(np.array(gradient())).permute(2, 0, 1)[None] / 127.5 - 1)
    )


def test_several_pictures_are_those_of_each_alone(pipe):
    prompts = ["a cat", "a red boat on the street", PROMPT]
    together = pipe(prompts, **{**QUICK, "output_type": "latent"}, cfg_scale=2.0)
    alone = [
        pipe(one, **{**QUICK, "seed": seed, "output_type": "latent"}, cfg_scale=2.0) for seed, one in enumerate(prompts)
    ]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)
    embeds, mask = pipe.encode_prompt(prompts)
    embedded = latents_of_embeds(pipe, embeds, mask)
    torch.testing.assert_close(embedded, pipe(prompts, **{**QUICK, "output_type": "latent"}), rtol=0, atol=1e-6)


def latents_of_embeds(pipe, embeds, mask):
    return pipe(prompt_embeds=embeds, prompt_embeds_mask=mask, **{**QUICK, "output_type": "latent"})


def test_the_shift_is_the_users_to_set(pipe):
    assert torch.equal(latents_of(pipe, sigma_shift=3), latents_of(pipe))
    assert not torch.equal(latents_of(pipe, sigma_shift=5.0), latents_of(pipe))


def test_a_callback_sees_each_step_and_may_end_them(pipe):
    steps = []

    def note(pipe, index, timestep, tensors):
        steps.append((index, round(timestep.item(), 2), tuple(tensors["latents"].shape)))
        pipe.interrupt = index == 1

    latents_of(pipe, callback_on_step_end=note)
    assert steps == [(0, 1000.0, (1, 16, 8, 12)), (1, 900.0, (1, 16, 8, 12))]


def gradient():
    return Image.linear_gradient("L").resize((96, 64)).convert("RGB")


def drawn(pipe):
    return pipe(
        "a cat", input_image=gradient(), denoising_strength=0.8, **{**QUICK, "num_inference_steps": 2}
    ).tobytes()


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)], ids=["float32", "bfloat16"]
)
def test_every_memory_mode_gives_the_same_bits(folder, dtype):
    plain = drawn(opened(folder, torch_dtype=dtype))
    for offload, onload in MODES.values():
        for vram_limit in (None, 0):
            pipe = opened(folder, keys(offload, onload, "cpu", dtype), torch_dtype=dtype, vram_limit=vram_limit)
            assert drawn(pipe) == plain


ON_NPU = """
import json, os
import torch
from diffsynth.core.fused import fused_operators
from tests.diffsynth.pipelines.test_z_image import digest, drawn, keys, opened

device, folder = os.environ["DEVICE"], os.environ["MODELS"]
dtype = getattr(torch, os.environ["DTYPE"])
more = {"device": device, "torch_dtype": dtype}
print(json.dumps({
    "plain": digest(opened(folder, **more)),
    "without the patch": digest(opened(folder, enable_npu_patch=False, **more)),
    "cpu": digest(opened(folder, keys("cpu", "cpu", device, dtype), **more)),
    "disk, no room": digest(opened(folder, keys("disk", "cpu", device, dtype), vram_limit=0, **more)),
    "by": fused_operators(device),
}))
"""


def digest(pipe):
    return hashlib.sha256(drawn(pipe)).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_emulated_npu_gives_the_bits_of_the_cpu_in_every_mode(run_on, folder, dtype):
    on_cpu, on_npu = (
        json.loads(run_on(device, ON_NPU, MODELS=str(folder), DEVICE=device, DTYPE=dtype)) for device in ("cpu", "npu")
    )
    assert on_cpu == on_npu
    assert on_cpu.pop("by") == "torch"
    assert len(set(on_cpu.values())) == 1


PATCHED = """
import json, os, torch
from torch.utils._python_dispatch import TorchDispatchMode
from tests.diffsynth.pipelines.test_z_image import QUICK, opened

class Seen(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        names.append(function.name())
        return function(*args, **(kwargs or {}))

found = {}
for enabled in (True, False):
    names = []
    pipe = opened(os.environ["MODELS"], device="npu", enable_npu_patch=enabled)
    with Seen():
        latents = pipe("a cat", **{**QUICK, "num_inference_steps": 1}, output_type="latent")
    found[enabled] = {name: names.count(name) for name in names if name.startswith("npu::")}, latents.cpu()
torch.testing.assert_close(found[True][1], found[False][1], rtol=0, atol=1e-4)
print(json.dumps([found[True][0], found[False][0]]))
"""


def test_the_npu_patch_takes_the_vendors_operators_and_nothing_else_does(run_on, folder):
    patched, plain = json.loads(run_on("npu", PATCHED, MODELS=str(folder), DIFFSYNTH_FUSED_OPERATORS="torch_npu"))
    blocks = 2 + 1 + 1  # of both streams together, and of either
    assert patched["npu::npu_rotary_mul"] == 2 * blocks
    # Of a block four, and two of queries and keys; the prompt's; of the text encoder's layers two, and two of heads.
    assert patched["npu::npu_rms_norm"] == 6 * blocks + 1 + 2 * 4
    assert not {"npu::npu_rotary_mul", "npu::npu_rms_norm"} & plain.keys()


def lora_file(path):
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for layer, (wide, out) in {"attention.to_q": (256, 256), "feed_forward.w2": (682, 256)}.items():
        name = f"diffusion_model.layers.1.{layer}"
        tensors[f"{name}.lora_A.weight"] = torch.randn(4, wide, generator=generator) * 0.1
        tensors[f"{name}.lora_B.weight"] = torch.randn(out, 4, generator=generator) * 0.1
    save_file(tensors, path)
    return path


def test_a_lora_fused_hot_and_offloaded_agrees_and_leaves_no_trace(folder, tmp_path):
    pipe, lora = opened(folder), lora_file(tmp_path / "lora.safetensors")
    plain = latents_of(pipe)
    weights = {key: value.clone() for key, value in pipe.dit.state_dict().items()}
    pipe.load_lora(pipe.dit, lora)
    fused = latents_of(pipe)
    assert (fused - plain).abs().max() > 1e-3
    pipe.clear_lora()
    assert all(torch.equal(value, weights[key]) for key, value in pipe.dit.state_dict().items())
    pipe.load_lora(pipe.dit, lora, hotload=True)
    torch.testing.assert_close(latents_of(pipe), fused, rtol=0, atol=1e-4)
    offloaded = opened(folder, keys("disk", "cpu", "cpu", torch.float32))
    offloaded.load_lora(offloaded.dit, lora)
    torch.testing.assert_close(latents_of(offloaded), fused, rtol=0, atol=1e-4)
    offloaded.clear_lora()
    assert torch.equal(latents_of(offloaded), plain)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"edit_image": gradient()},
            NotImplementedError,
            r"edit_image=...\): editing \(Z-Image-Omni-Base\) is not part",
        ),
        ({"controlnet_inputs": [1]}, NotImplementedError, "ControlNet is not part of this version"),
        ({"guidance_scale": 0.0}, TypeError, "here it is 'cfg_scale, which is 1 more"),
        ({"denoising_strength": 0.5}, ValueError, "keeps part of an input_image, and none was given"),
        (
            {"input_image": Image.new("RGB", (50, 50))},
            ValueError,
            "input_image is 50x50, but the picture asked for is 96x6",
        ),
        ({"sigma_shift": 0}, ValueError, "sigma_shift"),
        ({"output_type": "pil"}, ValueError, "expected 'quantized', 'latent'"),
        ({"latents": torch.zeros(1, 16, 4, 4)}, ValueError, r"latents is of shape \(1, 16, 4, 4\)"),
    ],
)
def test_bad_input(pipe, given, error, message):
    with pytest.raises(error, match=message):
        pipe("a cat", **QUICK, **given)


def test_public_defaults_that_ask_for_nothing(pipe):
    nothing = {"edit_image": None, "edit_image_auto_resize": True, "controlnet_inputs": None, "lora": None}
    assert pipe("a cat", **QUICK, **nothing).size == (96, 64)


def test_a_pipeline_without_a_network(folder):
    with pytest.raises(RuntimeError, match="making a picture needs the vae, and none was loaded"):
        opened(folder, files=FILES[:2])("a cat", **QUICK)
    with pytest.raises(NotImplementedError, match="use_usp: sharing a generation of Z-Image is not part"):
        opened(folder, use_usp=True)


def test_a_tokenizer_that_is_missing(folder, tmp_path):
    files = [ModelConfig(path=[str(one) for one in (folder / MODEL / "text_encoder").glob("*.safetensors")])]
    with pytest.raises(
        FileNotFoundError, match=r"Expected the folder tokenizer/ of Z-Image. .*'Tongyi-MAI/Z-Image-Turbo'"
    ):
        ZImagePipeline.from_pretrained(
            device="cpu", model_configs=files, tokenizer_config=ModelConfig(path=str(tmp_path))
        )


def test_a_long_prompt_is_cut(pipe):
    with pytest.warns(UserWarning, match=rf"tokens more than the text encoder takes \({LENGTH}\)"):
        ids = pipe.tokenizer.ids_of_prompt("cat " * 600)
    assert ids.shape == (1, LENGTH)
