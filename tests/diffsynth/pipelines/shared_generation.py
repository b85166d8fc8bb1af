"""Generations of small pipelines, by one process or shared by several: what the tests and their processes both run.

A case is a dict that survives JSON: `model` and `folder`, `degrees` (of from_pretrained), `call` (keywords of the
call), `controlnet` (whether there is one beside a picture's DiT), `places` (offload and onload device), `stored` (type
that weights are kept in), `vram_limit`, `compiled`, `made_up_texts` (of a picture, for a text encoder, which
takes seconds to import).
"""

import hashlib
import json
import os
from copy import copy
from dataclasses import replace
from unittest import mock

import torch
from PIL import Image

from diffsynth.diffusion.conditions import Contribution
from diffsynth.pipelines import qwen_image
from diffsynth.pipelines.qwen_image import ControlNetInput, QwenImagePipeline
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import save_video

WAN21, WAN22, QWEN = "Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.2-T2V-A14B", "Qwen/Qwen-Image-Edit"
LAYERED, CANNY = "Qwen/Qwen-Image-Layered", "DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny"
OF_PICTURES = (QWEN, LAYERED)
WAN_FILES = ("models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth")
FILES = {
    WAN21: ["diffusion_pytorch_model*.safetensors", *WAN_FILES],
    WAN22: [
        *(f"{noise}_noise_model/diffusion_pytorch_model*.safetensors" for noise in ("high", "low")),
        *WAN_FILES,
    ],
    QWEN: [
        "transformer/diffusion_pytorch_model*.safetensors",
        "text_encoder/model*.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ],
}
FILES[LAYERED] = FILES[QWEN]
# 105 tokens, and six tiles; 35 tokens and those of the prompt, and six tiles.
SMALL = {"height": 80, "width": 112, "num_inference_steps": 2, "seed": 0, "tiled": True}
SMALL_VIDEO = {**SMALL, "num_frames": 9, "tile_size": (6, 8), "tile_stride": (4, 6)}
SMALL_PICTURE = {**SMALL, "cfg_scale": 5.0, "tile_size": 6, "tile_stride": 4}


def generate(case, device, *, shared):
    """Latents of a case and what was decoded from them, (1, 3, F, H, W), on the CPU."""
    return generate_by(pipeline(case, device, shared=shared), case)


def generate_exactly(case):
    """The same with the DiT and all between its calls in float64, from the noise and the prompts that float32 has."""
    pipe = pipeline(case, "cpu", shared=False)
    pipe.dit.double()
    pipe.networks["dit"] = replace(pipe.networks["dit"], dtype=torch.float64)
    denoise = pipe.denoise

    def denoise_exactly(latents, *args):
        with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            latents = denoise(latents.double(), *args)
        exact.append(latents)
        return latents.float()

    exact = []
    pipe.denoise = denoise_exactly
    _, decoded = generate_by(pipe, case)
    return exact[0], decoded


def generate_by(pipe, case):
    """What this pipeline makes of a case."""
    latents = []
    decode = pipe.decode_latents

    def keeping(given, *args, **options):
        latents.append(given.cpu())
        return decode(given, *args, **options)

    pipe.decode_latents = keeping
    if case.get("compiled"):
        pipe.compile_pipeline(backend="aot_eager", dynamic=False)
    of_pictures = case["model"] in OF_PICTURES
    make = _video if not of_pictures else _picture_of_made_up_texts if case.get("made_up_texts") else _picture
    decoded = make(pipe, case.get("call", {}))
    return torch.cat(latents), decoded.cpu()


def _video(pipe, call):
    options = {**SMALL_VIDEO, **call}
    if options.pop("from_video", False):
        size = (options["width"], options["height"])
        options["input_video"] = [Image.new("RGB", size, (20 * n, 90, 200)) for n in range(options["num_frames"])]
    prompt = options.pop("prompt", "a dog")
    return pipe(prompt, "blurry", output_type="floatpoint", **options)


def _picture(pipe, call):
    options = {**SMALL_PICTURE, **call}
    given = Image.linear_gradient("L").convert("RGB")
    if options.pop("from_picture", False):
        options["input_image"] = given.resize((options["width"], options["height"]))
    if size := options.pop("edited", None):
        options.update(edit_image=given.resize(size), edit_image_auto_resize=False)
    shown = given.resize((options["width"], options["height"]))
    if options.pop("context", False):
        options["context_image"] = given
    if options.pop("controlled", False):
        options["blockwise_controlnet_inputs"] = [ControlNetInput(image=shown)]
    if options.pop("entities", False):
        options.update(eligen_entity_prompts=["red", "a cat"], eligen_entity_masks=[shown, shown.rotate(180)])
    if "layer_num" in options:
        options["layer_input_image"] = shown
    prompt = options.pop("prompt", "a dog")
    return _before_rounding(lambda: pipe(prompt, "blurry, out of focus", **options))


@torch.no_grad()
def _picture_of_made_up_texts(pipe, call):
    height, width = SMALL_PICTURE["height"], SMALL_PICTURE["width"]
    tiles = {"tiled": True, "tile_size": (6, 6), "tile_stride": (4, 4)}
    generator = torch.Generator().manual_seed(1)
    lengths = {"positive": 4, "negative": 7}
    texts = {
        branch: torch.randn(1, length, pipe.dit.txt_in.in_features, generator=generator).to(pipe.device)
        for branch, length in lengths.items()
    }
    edited = [pipe.encode_picture(Image.linear_gradient("L").convert("RGB").resize((48, 32)), **tiles)]
    schedule = copy(pipe.scheduler)
    schedule.set_timesteps(2, dynamic_shift_len=35)
    given = Contribution(pictures=tuple(edited))
    latents = pipe.denoise(pipe.draw_noise(0, "cpu", height, width), schedule, texts, given, **call)
    return _before_rounding(lambda: pipe.decode_latents(latents, **tiles))


def _before_rounding(make):
    """The videos of one frame of which `make` makes pictures."""
    decoded = []

    def frames(video):
        decoded.append(video)
        return [Image.new("RGB", (1, 1))]

    with mock.patch.object(qwen_image, "frames_from_video", frames):
        make()
    return torch.cat(decoded)


def digest(*found):
    """Of their bits."""
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in found)).hexdigest()


def main():
    """What each process does: prints, for each case in CASES, how far it is from SAVED, and a digest."""
    saved = torch.load(os.environ["SAVED"])
    report = {}
    for name, case in json.loads(os.environ["CASES"]).items():
        found = generate(case, os.environ["MACHINE"], shared=True)
        differences = [(own - other).abs().max().item() for own, other in zip(found, saved[name], strict=True)]
        report[name] = [*differences, digest(*found), digest(found[0])]
    frames = [Image.new("RGB", (16, 16))] * 2
    save_video(frames, f"video{os.environ['RANK']}.mp4", fps=5)
    print(json.dumps(report))


def pipeline(case, device, *, shared):
    """The pipeline of a case."""

    def config(pattern, **keys):
        return ModelConfig(
            model_id=case["model"], origin_file_pattern=pattern, local_model_path=case["folder"], skip_download=True,
            **keys,
        )  # fmt: skip

    qwen = case["model"] in OF_PICTURES
    files = [name for name in FILES[case["model"]] if not (case.get("made_up_texts") and "text_encoder" in name)]
    if not qwen:
        special = {"redirect_common_files": False, "tokenizer_config": config("google/umt5-xxl/")}
    else:
        special = {} if case.get("made_up_texts") else {"processor_config": config("processor/")}
    return (QwenImagePipeline if qwen else WanVideoPipeline).from_pretrained(
        torch_dtype=torch.float32,
        device=device,
        model_configs=[
            *(config(pattern, **_offload(case, device)) for pattern in files),
            *([replace(config("model.safetensors"), model_id=CANNY)] if case.get("controlnet") else []),
        ],
        vram_limit=case.get("vram_limit"),
        **special,
        **({"use_usp": True, **case.get("degrees", {})} if shared else {}),
    )


def _offload(case, device):
    if "places" not in case and "stored" not in case:
        return {}
    offload = {"computation_device": device, "computation_dtype": torch.float32}
    places = (*case.get("places", ("cpu", "cpu")), device)
    for situation, place in zip(("offload", "onload", "preparing"), places, strict=True):
        offload[f"{situation}_device"] = place
        offload[f"{situation}_dtype"] = "disk" if place == "disk" else getattr(torch, case.get("stored", "float32"))
    return offload


if __name__ == "__main__":
    main()
