"""Generations of small pipelines, by one process or shared by several: what the tests and their processes both run.

A case is a dict that survives JSON: `model` and `folder`, `degrees` (of from_pretrained), `call` (keywords of the
call), `places` (offload and onload device), `vram_limit`, `compiled`.
"""

import hashlib
import json
import os

import torch
from PIL import Image

from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from diffsynth.utils.data import save_video

FILES = ("models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth")
DITS = {
    "Wan-AI/Wan2.1-T2V-1.3B": ["diffusion_pytorch_model*.safetensors"],
    "Wan-AI/Wan2.2-T2V-A14B": [
        f"{noise}_noise_model/diffusion_pytorch_model*.safetensors" for noise in ("high", "low")
    ],
}
# 105 tokens, and six tiles.
SMALL = {"height": 80, "width": 112, "num_frames": 9, "num_inference_steps": 2, "seed": 0}
TILES = {"tile_size": (6, 8), "tile_stride": (4, 6)}


def generate(case, device, *, shared):
    """Latents and video of a case, on the CPU."""
    pipe = _pipeline(case, device, shared)
    latents = []
    decode = pipe.decode_latents

    def keeping(given, **options):
        latents.append(given.cpu())
        return decode(given, **options)

    pipe.decode_latents = keeping
    if case.get("compiled"):
        pipe.compile_pipeline(backend="aot_eager", dynamic=False)
    options = {**SMALL, **TILES, **case.get("call", {})}
    if options.pop("from_video", False):
        size = (options["width"], options["height"])
        options["input_video"] = [Image.new("RGB", size, (20 * n, 90, 200)) for n in range(options["num_frames"])]
    video = pipe("a dog", "blurry", output_type="floatpoint", **options)
    return latents[0], video.cpu()


def digest(latents, video):
    """The same for the same bits."""
    return hashlib.sha256(latents.numpy().tobytes() + video.numpy().tobytes()).hexdigest()


def main():
    """What each process does: prints, for each case in CASES, how far it is from SAVED, and a digest."""
    saved = torch.load(os.environ["SAVED"])
    report = {}
    for name, case in json.loads(os.environ["CASES"]).items():
        found = generate(case, os.environ["MACHINE"], shared=True)
        differences = [
            (own - other).abs().max().item() for own, other in zip(found, saved.get(name, found), strict=True)
        ]
        report[name] = [*differences, digest(*found)]
    frames = [Image.new("RGB", (16, 16))] * 2
    save_video(frames, f"video{os.environ['RANK']}.mp4", fps=5)
    print(json.dumps(report))


def _pipeline(case, device, shared):
    offload = {}
    if "places" in case:
        for situation, place in zip(
            ("offload", "onload", "preparing", "computation"), (*case["places"], device, device), strict=True
        ):
            offload[f"{situation}_device"] = place
            offload[f"{situation}_dtype"] = "disk" if place == "disk" else torch.float32

    def config(pattern, **keys):
        return ModelConfig(
            model_id=case["model"], origin_file_pattern=pattern, local_model_path=case["folder"], skip_download=True,
            **keys,
        )  # fmt: skip

    return WanVideoPipeline.from_pretrained(
        torch_dtype=torch.float32,
        device=device,
        redirect_common_files=False,
        model_configs=[config(pattern, **offload) for pattern in (*DITS[case["model"]], *FILES)],
        tokenizer_config=config("google/umt5-xxl/"),
        vram_limit=case.get("vram_limit"),
        **({"use_usp": True, **case.get("degrees", {})} if shared else {}),
    )


if __name__ == "__main__":
    main()
