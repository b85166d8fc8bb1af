"""What each model computes beside diffusers, on the same small made-up weights in float32.

    python -m benchmarks.numbers [--only TEXT] [--write]

A row is a published model that diffusers has, with its own files' layout and, where these are not its own, the text
encoder and VAE that it goes with. `network` is the first prediction of a generation (which sees what both sides made
of prompt, pictures and masks), `encoded` and `decoded` are of the VAE alone, `latents` are those after four steps with
guidance; each is the largest difference, and in brackets the largest value. `--write` keeps the table in
[results/](results/numbers.md). Ends with 1 if a difference is above its bound.

Not here, since diffusers has nothing like it: Fun Control and Control-Camera, EliGen, in-context control, blockwise
ControlNets (its own have another form).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as edit_plus
from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered as layered
from PIL import Image
from torch import Tensor, nn

from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.families import qwen_image, wan, z_image
from diffsynth.families.family import Family, WeightFile
from diffsynth.families.qwen_image import conditions
from diffsynth.models.layers import patches
from diffsynth.pipelines.qwen_image import QwenImagePipeline
from diffsynth.pipelines.wan_video import WanVideoPipeline
from diffsynth.pipelines.z_image import ZImagePipeline
from script_trial.adapters.diffsynth_port.catalogue import shard_names
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.pipelines import diffusers_oracle, qwen_oracle, z_image_oracle

BOUNDS = {"network": 5e-5, "encoded": 1e-5, "decoded": 1e-5, "latents": 1e-4}
RESULTS = Path(__file__).parent / "results" / "numbers.md"
PROMPT, NEGATIVE = "a red boat leaves the harbour", "static, blurry"
STEPS, HEIGHT, WIDTH, FRAMES = 4, 32, 64, 5
EDIT_AREA, CONDITION_AREA = 96**2, 64**2  # of pictures to edit, instead of a million pixels


class Apart(NamedTuple):
    """The largest difference of two results, and the largest value."""

    most: float
    of: float


Row = dict[str, Apart]


def apart(found: Tensor, expected: Tensor) -> Apart:
    """Of two results that are meant to be the same."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return Apart((found - expected).abs().max().item(), expected.abs().max().item())


@contextmanager
def first_output(network: nn.Module) -> Iterator[list[Any]]:
    """What the network gives at its first call within the block."""
    seen: list[Any] = []
    hook = network.register_forward_hook(lambda _, given, result: seen.append(result) if not seen else None)
    yield seen
    hook.remove()


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT, mode: str = "RGB") -> Image.Image:
    """Smooth random colours: resizing them is no matter of chance."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, len(mode)), dtype=np.uint8)
    return Image.fromarray(pixels, mode).resize((width, height), Image.Resampling.BICUBIC)


def opened(pipeline: Any, family: Family, model_id: str, base: str, root: Path, **folders: tuple[str, str]) -> Any:
    """A pipeline of ours with made-up weights: all of the model's own files, and what it lacks from ``base``."""
    for one in (model_id, base, *(model for model, _ in folders.values())):
        if not (root / one).exists():
            make_weights(one, root)
    files = [(model_id, file) for file in family.models[model_id] if isinstance(file, WeightFile)]
    own = {file.network.attributes for _, file in files}
    files += [
        (base, file)
        for file in family.models[base]
        if isinstance(file, WeightFile) and file.network.attributes not in own
    ]
    return pipeline.from_pretrained(
        torch.float32,
        "cpu",
        [ModelConfig(path=[str(root / model / name) for name in shard_names(file)]) for model, file in files],
        **{keyword: ModelConfig(path=str(root / model / folder)) for keyword, (model, folder) in folders.items()},
    )


def of_vae(ours: Any, theirs: Any, pixels: Tensor) -> Row:
    """Encoding and decoding; diffusers scales latents outside of its VAE."""
    config = theirs.config
    if getattr(config, "latents_mean", None):
        mean, deviation = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (config.latents_mean, config.latents_std))
    else:
        mean, deviation = torch.tensor(config.shift_factor), torch.tensor(1 / config.scaling_factor)
    latents = (theirs.encode(pixels).latent_dist.mode() - mean) / deviation
    decoded = theirs.decode(latents * deviation + mean).sample
    return {"encoded": apart(ours.encode(pixels), latents), "decoded": apart(ours.decode(latents), decoded)}


def random_pixels(*size: int) -> Tensor:
    """Of a batch of one, -1 to 1."""
    return torch.rand(1, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def of_wan(model_id: str, root: Path, kind: Any = diffusers.WanPipeline, **given: Any) -> Row:
    """A video by this pipeline of diffusers; the names of what is given are ours."""
    base = "Wan-AI/Wan2.1-T2V-1.3B"
    pipe = opened(WanVideoPipeline, wan.FAMILY, model_id, base, root, tokenizer_config=(base, "google/umt5-xxl"))
    named = {
        "input_image": "image",
        "end_image": "last_image",
        "vace_video": "video",
        "vace_video_mask": "mask",
        "vace_reference_image": "reference_images",
        "vace_scale": "conditioning_scale",
    }
    theirs_given = {named[name]: value for name, value in given.items()}
    if "vace_reference_image" in given:
        theirs_given["reference_images"] = [[given["vace_reference_image"]]]
    more = {"expand_timesteps": True} if pipe.vae.z_dim == 48 else {}
    boundary = None if pipe.dit2 is None else 0.875
    theirs = diffusers_oracle.pipeline(pipe, root / base / "google/umt5-xxl", kind, boundary=boundary, **more)
    if pipe.image_encoder is not None:
        pictures = [given[name] for name in ("input_image", "end_image") if name in given]
        seen = [torch.from_numpy(np.array(one)).permute(2, 0, 1)[None] / 127.5 - 1 for one in pictures]
        theirs_given["image_embeds"] = torch.cat([pipe.image_encoder(one) for one in seen])
        theirs.check_inputs = lambda *_, **__: None  # it takes either a picture or its features, and uses both
    call = {"height": HEIGHT, "width": WIDTH, "num_frames": FRAMES, "num_inference_steps": STEPS}
    with first_output(pipe.dit) as ours_first:
        found = pipe(PROMPT, NEGATIVE, seed=0, tiled=False, output_type="latent", **call, **given)
    before = int("vace_reference_image" in given)
    noise = pipe.draw_noise(0, "cpu", HEIGHT, WIDTH, FRAMES, before=before)
    with first_output(theirs.transformer) as theirs_first:
        expected = theirs(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            guidance_scale=5.0,
            latents=noise,
            output_type="latent",
            **call,
            **theirs_given,
        ).frames
    pixels = random_pixels(3, FRAMES, HEIGHT, WIDTH)
    return {
        "network": apart(ours_first[0], theirs_first[0][0]),
        **of_vae(pipe.vae, theirs.vae, pixels),
        "latents": apart(found, expected[:, :, before:]),
    }


@contextmanager
def small_pictures() -> Iterator[None]:
    """Pictures to edit of fewer pixels than both sides would have them."""
    size_of = edit.calculate_dimensions
    with (
        patch.object(conditions, "EDIT_AREA", EDIT_AREA),
        patch.object(conditions, "CONDITION_AREA", CONDITION_AREA),
        patch.object(edit, "calculate_dimensions", lambda area, ratio: size_of(EDIT_AREA, ratio)),
        patch.object(edit_plus, "VAE_IMAGE_SIZE", EDIT_AREA),
        patch.object(edit_plus, "CONDITION_IMAGE_SIZE", CONDITION_AREA),
        patch.object(layered, "calculate_dimensions", lambda area, ratio: (WIDTH, HEIGHT)),
    ):
        yield


def opened_qwen(model_id: str, base: str, root: Path) -> tuple[Any, Path]:
    """A pipeline of ours, and the folder of the tokenizer and processor that both sides read."""
    folder = ("Qwen/Qwen-Image-Edit", "processor")
    pipe = opened(QwenImagePipeline, qwen_image.FAMILY, model_id, base, root, processor_config=folder)
    return pipe, root.joinpath(*folder)


def of_qwen(model_id: str, root: Path, *, pictures: int = 0, at_zero: bool = False) -> Row:
    """Made from nothing, or with so many pictures to edit, of which one alone is asked for in a form of its own."""
    pipe, folder = opened_qwen(model_id, "Qwen/Qwen-Image", root)
    sizes = [(120, 70), (64, 64), (40, 90)][:pictures]  # none of them the made one's
    shown: Any = [picture(seed, *size) for seed, size in enumerate(sizes)]
    in_a_list = model_id not in ("Qwen/Qwen-Image", "Qwen/Qwen-Image-Edit")
    kind = diffusers.QwenImagePipeline
    if pictures:
        kind = diffusers.QwenImageEditPlusPipeline if in_a_list else diffusers.QwenImageEditPipeline
    theirs = qwen_oracle.pipeline(pipe, folder, kind)
    for network in (theirs.transformer, *theirs.transformer.transformer_blocks):
        network.zero_cond_t = at_zero
    shown = shown if in_a_list else (shown or [None])[0]
    given, condition = {}, None
    if pictures:
        given = {"edit_image": shown, "zero_cond_t": at_zero}
        resized = []
        for one in shown if in_a_list else [shown]:
            width, height = edit_plus.calculate_dimensions(CONDITION_AREA, one.width / one.height)
            if not in_a_list:
                width, height, _ = edit.calculate_dimensions(None, one.width / one.height)
            resized.append(theirs.image_processor.resize(one, height, width))
        condition = resized if in_a_list else resized[0]
    call = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": STEPS, "seed": 0}
    with first_output(pipe.dit) as ours_first:
        found = pipe(PROMPT, NEGATIVE, output_type="latent", **call, **given)
    noise = pipe.draw_noise(0, "cpu", HEIGHT, WIDTH)
    with first_output(theirs.transformer) as theirs_first:
        more = {"image": shown} if pictures else {}
        expected = qwen_oracle.final_latents(theirs, noise, PROMPT, NEGATIVE, condition=condition, **more)
    tokens = patches(ours_first[0])
    return {
        "network": apart(tokens, theirs_first[0][0][:, : tokens.shape[1]]),
        **of_vae(pipe.vae, theirs.vae, random_pixels(3, 1, HEIGHT, WIDTH)),
        "latents": apart(found, expected),
    }


def of_layers(model_id: str, root: Path) -> Row:
    """A picture taken apart into two layers. Asked for latents, diffusers' pipeline fails: a callback takes them."""
    pipe, folder = opened_qwen(model_id, "Qwen/Qwen-Image-Layered", root)
    theirs = qwen_oracle.pipeline(pipe, folder, diffusers.QwenImageLayeredPipeline)
    given, layers = picture(0, mode="RGBA"), 2
    options = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": STEPS, "seed": 0}
    with first_output(pipe.dit) as ours_first:
        found = pipe(
            PROMPT,
            NEGATIVE,
            layer_input_image=given,
            layer_num=layers,
            exponential_shift_mu=(WIDTH * HEIGHT / 256 / 256) ** 0.5,  # diffusers' follows from the picture's size
            output_type="latent",
            **options,
        )
    noise, ends = pipe.draw_noise(0, "cpu", HEIGHT, WIDTH, layers=layers + 1), []
    with first_output(theirs.transformer) as theirs_first:
        theirs(
            given,
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            true_cfg_scale=4.0,
            layers=layers,
            num_inference_steps=STEPS,
            latents=torch.cat([patches(one) for one in noise.unbind(2)], dim=1),
            callback_on_step_end=lambda pipe, step, timestep, given: ends.append(given["latents"]) or {},
        )
    tokens = torch.cat([patches(one) for one in ours_first[0].unbind(2)], dim=1)
    return {
        "network": apart(tokens, theirs_first[0][0][:, : tokens.shape[1]]),
        **of_vae(pipe.vae, theirs.vae, random_pixels(4, 1, HEIGHT, WIDTH)),
        "latents": apart(found, theirs._unpack_latents(ends[-1], HEIGHT, WIDTH, layers, 8)),
    }


def of_z_image(model_id: str, root: Path) -> Row:
    """diffusers' network predicts the negative, and is guided by one less."""
    pipe = opened(ZImagePipeline, z_image.FAMILY, model_id, model_id, root, tokenizer_config=(model_id, "tokenizer"))
    theirs = z_image_oracle.pipeline(pipe, root / model_id)
    call = {"height": HEIGHT, "width": WIDTH, "num_inference_steps": STEPS, "output_type": "latent"}
    with first_output(pipe.dit) as ours_first:
        found = pipe(PROMPT, NEGATIVE, seed=0, cfg_scale=4.0, **call)
    noise = pipe.draw_noise(0, "cpu", HEIGHT, WIDTH)
    with first_output(theirs.transformer) as theirs_first:
        expected = theirs(PROMPT, negative_prompt=NEGATIVE, guidance_scale=3.0, latents=noise, **call).images
    return {
        "network": apart(ours_first[0][:1], -theirs_first[0][0][0].squeeze(1)[None]),
        **of_vae(pipe.vae, theirs.vae, random_pixels(3, HEIGHT, WIDTH)),
        "latents": apart(found, expected),
    }


def models() -> dict[str, Callable[[Path], Row]]:
    """By the name of the row: what makes it."""
    rows: dict[str, Callable[[Path], Row]] = {}

    def add(what: Callable[..., Row], model_id: str, note: str = "", **given: Any) -> None:
        rows[model_id + note] = lambda root: what(model_id, root, **given)

    for model_id in ("Wan2.1-T2V-1.3B", "Wan2.1-T2V-14B", "Wan2.2-T2V-A14B"):
        add(of_wan, f"Wan-AI/{model_id}")
    add(of_wan, "krea/krea-realtime-video")
    to_video, first, last = diffusers.WanImageToVideoPipeline, picture(1), picture(2)
    inp = [f"PAI/Wan2.1-Fun-{version}{size}-InP" for version in ("", "V1.1-") for size in ("1.3B", "14B")]
    published = ["Wan2.1-I2V-14B-480P", "Wan2.1-I2V-14B-720P", "Wan2.2-I2V-A14B", "Wan2.2-TI2V-5B"]
    for model_id in (*(f"Wan-AI/{name}" for name in published), *inp, "PAI/Wan2.2-Fun-A14B-InP"):
        add(of_wan, model_id, kind=to_video, input_image=first)
    add(of_wan, "Wan-AI/Wan2.1-FLF2V-14B-720P", kind=to_video, input_image=first, end_image=last)
    add(of_wan, "Wan-AI/Wan2.2-I2V-A14B", ", first and last", kind=to_video, input_image=first, end_image=last)
    add(of_wan, "Wan-AI/Wan2.2-TI2V-5B", ", from nothing")
    mask = [
        Image.fromarray(np.uint8(np.random.default_rng(n).integers(0, 2, (HEIGHT, WIDTH)) * 255)) for n in range(FRAMES)
    ]
    hints = {"vace_video": [picture(10 + n) for n in range(FRAMES)], "vace_video_mask": mask, "vace_scale": 0.7}
    hints["vace_reference_image"] = first
    for model_id in ("Wan-AI/Wan2.1-VACE-1.3B", "Wan-AI/Wan2.1-VACE-14B", "iic/VACE-Wan2.1-1.3B-Preview"):
        add(of_wan, model_id, kind=diffusers.WanVACEPipeline, **hints)
    add(of_wan, "PAI/Wan2.2-VACE-Fun-A14B", kind=diffusers.WanVACEPipeline, **hints)
    for name in ("Qwen/Qwen-Image", "Qwen/Qwen-Image-2512", "DiffSynth-Studio/Qwen-Image-Distill-Full"):
        add(of_qwen, name)
    add(of_qwen, "Qwen/Qwen-Image-Edit", pictures=1)
    for count in (1, 3):
        add(of_qwen, "Qwen/Qwen-Image-Edit-2509", f", {count} to edit", pictures=count)
        add(of_qwen, "Qwen/Qwen-Image-Edit-2511", f", {count} to edit", pictures=count, at_zero=True)
    add(of_layers, "Qwen/Qwen-Image-Layered")
    add(of_layers, "DiffSynth-Studio/Qwen-Image-Layered-Control")
    for name in ("Tongyi-MAI/Z-Image-Turbo", "Tongyi-MAI/Z-Image"):
        add(of_z_image, name)
    return rows


def main() -> int:
    """Prints the table; 1 if a difference is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has it")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {RESULTS.name}")
    options = parser.parse_args()
    chosen = {name: make for name, make in models().items() if options.only in name}
    if not chosen:
        parser.error(f"--only {options.only}: no row has it in its name")
    torch.set_num_threads(1)
    diffusers.logging.set_verbosity_error()
    heads = [f"{name} (bound {bound:.0e})" for name, bound in BOUNDS.items()]
    lines = [f"| model | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    print(*lines, sep="\n", flush=True)
    missed = 0
    folder = tempfile.TemporaryDirectory()
    for name, make in chosen.items():
        with torch.no_grad(), small_pictures():
            row = make(Path(folder.name))
        above = [column for column, bound in BOUNDS.items() if not row[column].most <= bound]
        cells = [f"{row[column].most:.1e} ({row[column].of:.2g}){' MISSED' * (column in above)}" for column in BOUNDS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        missed += len(above)
    folder.cleanup()
    if options.write:
        versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, CPU, float32"
        command = "python -m benchmarks.numbers --write"
        RESULTS.write_text("\n".join([f"`{command}`, {versions}:", "", *lines, ""]), encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
