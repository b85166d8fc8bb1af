"""Wan2.1 and Wan2.2: a prompt, and if the model takes them pictures, videos and masks, become a video.

A call goes the way of `BasePipeline._made`; here is what is Wan's own: two experts, windows, caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from diffsynth.core.caller import check_number, known_keywords_only
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.core.progress import ProgressBar, progress_bar
from diffsynth.diffusion.base_pipeline import BasePipeline
from diffsynth.diffusion.conditions import NOTHING, Call, Contribution, of_batch
from diffsynth.diffusion.flow_match import TRAINING_STEPS, FlowMatchScheduler
from diffsynth.diffusion.guidance import BOTH, NEGATIVE, POSITIVE
from diffsynth.diffusion.loaded_model import unwrapped
from diffsynth.diffusion.prompts import Texts, asked_prompts, together
from diffsynth.diffusion.request import FRAMES_STEP, drawn_noise, fitting_size
from diffsynth.diffusion.sliding_window import checked_window, predict_in_windows
from diffsynth.diffusion.step_end import LATENTS, Callback, StepEnd
from diffsynth.diffusion.tea_cache import TeaCache, coefficients_of
from diffsynth.diffusion.turns import in_turn
from diffsynth.families.wan import FAMILY
from diffsynth.families.wan.camera import ORIGIN, SPEED
from diffsynth.models.wan_video_dit import TextCache, WanModel
from diffsynth.models.wan_video_image_encoder import WanImageEncoder
from diffsynth.models.wan_video_text_encoder import WanTextEncoder, WanTokenizer
from diffsynth.models.wan_video_vace import VaceWanModel
from diffsynth.models.wan_video_vae import WanVideoVAE
from diffsynth.utils.frames import frames_from_video

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

__all__ = ["ModelConfig", "WanVideoPipeline"]

PIXELS = {16: 8, 48: 16}  # of a latent cell, on each axis, by the latents' channels
PATCH = 2  # latent cells of the DiT's patch, on each axis

# Keywords of the public interface for models that are not here yet.
NOT_YET = {
    "motion_bucket_id": "control of the speed",
    **dict.fromkeys(("input_audio", "audio_embeds", "audio_sample_rate"), "speech-to-video"),
    **dict.fromkeys(("s2v_pose_video", "s2v_pose_latents", "motion_video"), "speech-to-video"),
    **dict.fromkeys(
        ("animate_pose_video", "animate_face_video", "animate_inpaint_video", "animate_mask_video"), "Wan-Animate"
    ),
    "longcat_video": "LongCat-Video",
}
# Their public defaults, where these are something (DiffSynth-Studio 2.1.12).
NOT_YET_DEFAULTS = {"audio_sample_rate": 16000}
# What diffusers' pipelines call a keyword, and what it is here.
AS_IN_DIFFUSERS = {
    "guidance_scale": "cfg_scale",
    "generator": "seed",
    "video": "input_video",
    "strength": "denoising_strength",
    "boundary_ratio": "switch_DiT_boundary",
    "num_images_per_prompt": "num_videos_per_prompt",
    "image": "input_image",
    "last_image": "end_image",
    "mask": "vace_video_mask",
    "reference_images": "vace_reference_image",
    "conditioning_scale": "vace_scale",
}


@dataclass(frozen=True)
class Guidance:
    """How a generation steers: everything that stays the same from step to step; `cfg_scale` by expert."""

    cfg_scale: Mapping[str, float]
    cfg_merge: bool
    switch_boundary: float
    window: tuple[int, int] | None
    tea_cache: tuple[float, str] | None


class WanVideoPipeline(BasePipeline):
    """Videos by Wan, from text, videos, pictures and what else a model takes. Make one with `from_pretrained`.

    Attributes:
        text_encoder, image_encoder, dit, dit2, vace, vace2, vae, tokenizer, scheduler: the parts; `dit2` is the
            low-noise expert of A14B, and `vace2` stands beside it.
        device, torch_dtype: where and in what type they compute.
    """

    family = FAMILY
    purpose = "making a video"
    output_types = ("quantized", "floatpoint", "latent")
    text_encoder: WanTextEncoder | None
    image_encoder: WanImageEncoder | None
    dit: WanModel | None
    dit2: WanModel | None
    vace: VaceWanModel | None
    vace2: VaceWanModel | None
    vae: WanVideoVAE | None
    tokenizer: WanTokenizer | None

    def check_networks(self) -> None:
        dits = [dit for dit in (self.dit, self.dit2) if dit is not None]
        for dit in dits:
            if self.vae is not None and self.vae.z_dim != dit.out_dim:
                raise ValueError(
                    f"the dit makes latents of {dit.out_dim} channels, and the vae takes {self.vae.z_dim}: load both "
                    "from the same model (Wan2.2_VAE.pth is that of Wan2.2-TI2V-5B alone)"
                )
        if len({(dit.in_dim, dit.out_dim) for dit in dits}) > 1:
            first, second = dits
            raise ValueError(
                f"the dit takes {first.in_dim} channels and the dit2 {second.in_dim}: both experts have to be of one "
                "model"
            )

    @known_keywords_only("pipe", later=NOT_YET, later_defaults=NOT_YET_DEFAULTS, elsewhere=AS_IN_DIFFUSERS)
    @in_turn
    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = "",
        negative_prompt: str | Sequence[str] | None = "",
        input_image: Image.Image | None = None,
        end_image: Image.Image | None = None,
        input_video: Sequence[Image.Image] | None = None,
        denoising_strength: float = 1.0,
        control_video: Sequence[Image.Image] | None = None,
        reference_image: Image.Image | None = None,
        camera_control_direction: str | None = None,
        camera_control_speed: float = SPEED,
        camera_control_origin: Sequence[float] | None = ORIGIN,
        vace_video: Sequence[Image.Image] | None = None,
        vace_video_mask: Sequence[Image.Image] | Image.Image | None = None,
        vace_reference_image: Image.Image | Sequence[Image.Image] | None = None,
        vace_scale: float = 1.0,
        seed: int | Sequence[int] | None = None,
        rand_device: str | torch.device = "cpu",
        height: int = 480,
        width: int = 832,
        num_frames: int = 81,
        cfg_scale: float = 5.0,
        cfg_merge: bool = False,
        switch_DiT_boundary: float = 0.875,
        num_inference_steps: int = 50,
        sigma_shift: float = 5.0,
        tiled: bool = True,
        tile_size: tuple[int, int] = (30, 52),
        tile_stride: tuple[int, int] = (15, 26),
        sliding_window_size: int | None = None,
        sliding_window_stride: int | None = None,
        tea_cache_l1_thresh: float | None = None,
        tea_cache_model_id: str = "",
        framewise_decoding: bool = False,
        progress_bar_cmd: ProgressBar = progress_bar,
        output_type: str = "quantized",
        num_videos_per_prompt: int = 1,
        guidance_scale_2: float | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = (LATENTS,),
    ) -> list[Image.Image] | list[list[Image.Image]] | Tensor:
        """Makes a video, or several: for a list of prompts, or with `num_videos_per_prompt` above 1, a list of them.

        Args:
            prompt, negative_prompt: what to show and what not; a list of prompts makes one video of each, or
                `num_videos_per_prompt`, those of the first prompt first. A negative prompt is for all, or one for each.
            input_image, end_image: the first frame and the last, for models that start and end at a picture; resized.
            input_video: frames to start from, as many as `num_frames` and of the size asked for (a VideoData is
                fine); `denoising_strength` below 1 keeps some of them.
            control_video: frames of edges, poses or depths to follow, of the size asked for (Fun Control).
            reference_image: who or what is to be seen, for models that take one (Fun V1.1 and 2.2 Control); resized.
            camera_control_direction, camera_control_speed, camera_control_origin: how the camera moves: "Left",
                "RightUp", "In" and their like; by how much with each frame; 19 numbers of the first frame's camera.
            vace_video, vace_video_mask, vace_reference_image, vace_scale: for VACE: frames to follow or to change,
                where they are to be changed (white; one picture for all frames, or frames), a picture or several of
                what is to be seen, all of the size asked for, and how much they count.
            seed, rand_device: the noise is drawn on that device from that seed; the same seed gives other noise on
                another kind of device. Several videos have the seeds from this one on, or those of a list.
            height, width, num_frames: rounded up to multiples of 16 (32 for Wan2.2-TI2V-5B), and to 4k + 1 frames,
                with a warning.
            cfg_scale: guidance scale; 1 means none, in half the time. `cfg_merge` runs both branches as one batch.
            switch_DiT_boundary, guidance_scale_2: with two DiTs, the second takes over below this noise level, with
                this guidance scale, or else with `cfg_scale`.
            num_inference_steps, sigma_shift: number of steps, and how strongly they gather where noise is strong.
            tiled, tile_size, tile_stride: encode and decode in overlapping tiles, sizes in latents (8 pixels).
            sliding_window_size, sliding_window_stride: denoise in overlapping windows of that many latent frames.
            tea_cache_l1_thresh, tea_cache_model_id: skip steps where little changes; 0.05 is careful, 0.3 is bold.
            framewise_decoding: decode each latent frame on its own: the video has (num_frames - 1) / 4 + 1 frames then.
            progress_bar_cmd: what wraps the loops; tqdm on a terminal by default.
            output_type: "quantized" for PIL images, "floatpoint" for a tensor (videos, 3, F, H, W) in [-1, 1], "latent"
                for what would be decoded, (videos, C, (F-1)/4+1, H/8, W/8), of 16 channels, or 48 of sixteenths.
            latents: to start from, in the place of noise, of that shape.
            prompt_embeds, negative_prompt_embeds: embedded prompts (prompts, L, dim), as `encode_prompt` makes them, in
                the place of prompts; the text encoder is then not needed.
            callback_on_step_end: called after each step with this pipeline, the step's number, its timestep and a dict
                of `callback_on_step_end_tensor_inputs`: "latents", "prompt_embeds", "negative_prompt_embeds". What it
                returns by these names is gone on with. ``pipe.interrupt = True`` ends the steps.

        Raises:
            ValueError: a value is out of its range, or the input video, latents or embeddings do not fit.
            RuntimeError: a network that this needs was not loaded.
        """
        asked = dict(locals())  # every keyword
        check_number("switch_DiT_boundary", switch_DiT_boundary)
        guidance = Guidance(
            cfg_scale=self._guidance_scales(cfg_scale, guidance_scale_2),
            cfg_merge=cfg_merge and self.apart is None,
            switch_boundary=switch_DiT_boundary,
            window=checked_window(sliding_window_size, sliding_window_stride),
            tea_cache=_tea_cache_settings(tea_cache_l1_thresh, tea_cache_model_id),
        )
        size = fitting_size(height, width, num_frames, PATCH * self.pixels)
        tiles: Tiling = {"tiled": tiled, "tile_size": tile_size, "tile_stride": tile_stride}
        of_decoding: Tiling = {**tiles, "framewise": framewise_decoding}

        def decode(latents: Tensor) -> Tensor | list[Image.Image]:
            video = self.decode_latents(latents, **of_decoding, progress_bar_cmd=progress_bar_cmd)
            return video if output_type == "floatpoint" else frames_from_video(video)

        guided = any(scale != 1 for scale in guidance.cfg_scale.values())
        made: Any = self._made(asked, size, tiles, {"guidance": guidance}, decode, guided=guided, shift=sigma_shift)
        return torch.cat(made) if output_type == "floatpoint" and isinstance(made, list) else made

    def _grid(self, call: Call[Any], given: Contribution) -> dict[str, Any]:
        size = {"height": call.height, "width": call.width, "num_frames": call.num_frames}
        return {**size, "before": given.frames_before}

    def _guidance_scales(self, cfg_scale: float, guidance_scale_2: float | None) -> dict[str, float]:
        """By expert.

        Raises:
            ValueError: the second's is no number, or there is no second expert.
        """
        if guidance_scale_2 is None:
            return {"dit": cfg_scale, "dit2": cfg_scale}
        check_number("guidance_scale_2", guidance_scale_2)
        if self.dit2 is None:
            raise ValueError(
                f"guidance_scale_2={guidance_scale_2} is for the second DiT of Wan2.2-A14B, and this pipeline has one: "
                "leave it out, and give cfg_scale"
            )
        return {"dit": cfg_scale, "dit2": guidance_scale_2}

    @property
    def pixels(self) -> int:
        """Of a latent cell, on each axis."""
        return PIXELS.get(self._latent_channels, 8) if self.vae is None else self.vae.pixels

    @property
    def _latent_channels(self) -> int:
        if self.dit is not None:
            return unwrapped(self.dit).out_dim
        return 16 if self.vae is None else self.vae.z_dim

    def latent_shape(self, height: int, width: int, num_frames: int, before: int = 0) -> tuple[int, ...]:
        """Of one video's latents: channels, latent frames with those before the video's, rows and columns."""
        frames = before + (num_frames - 1) // FRAMES_STEP + 1
        return (self._latent_channels, frames, height // self.pixels, width // self.pixels)

    def draw_noise(
        self,
        seed: int | None,
        rand_device: str | torch.device,
        height: int,
        width: int,
        num_frames: int,
        before: int = 0,
    ) -> Tensor:
        """Noise of a video's latents: (1, C, before + (F-1)/4+1, h, w), float32, drawn on `rand_device`.

        Args:
            before: latent frames before the video's. Theirs is what is drawn last.
        """
        shape = (1, *self.latent_shape(height, width, num_frames, before))
        noise = drawn_noise(shape, seed, rand_device).to(self.device)
        return self.as_on_the_first(noise.roll(before, dims=2))  # without a seed, each process has drawn its own

    @in_turn
    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] = "",
        do_classifier_free_guidance: bool = True,
        num_videos_per_prompt: int = 1,
    ) -> tuple[Tensor, Tensor | None]:
        """What a call takes as `prompt_embeds` and `negative_prompt_embeds`: each (prompts, 512, dim), times
        `num_videos_per_prompt`; without guidance there is no negative one.

        Raises:
            ValueError: a prompt is no string, or there are as many negative ones as fit nothing.
            RuntimeError: the text encoder was not loaded.
        """
        self.needs("text_encoder", "encoding a prompt")
        per_prompt = ("num_videos_per_prompt", num_videos_per_prompt)
        prompts = asked_prompts(prompt, negative_prompt, {}, guided=do_classifier_free_guidance, per_prompt=per_prompt)
        texts = self.embedded(prompts, {})
        embeds = {branch: torch.stack(list(rows)) for branch, rows in texts.items()}
        return embeds[POSITIVE], embeds.get(NEGATIVE)

    def _embedding(self, prompt: str) -> Tensor:
        """Of one prompt, (512, dim), by the text encoder, which is ready."""
        assert self.text_encoder is not None
        assert self.tokenizer is not None
        ids, mask = self.tokenizer([prompt])
        return self.text_encoder(ids.to(self.device), mask.to(self.device))[0]

    def encode_video(
        self, video: Tensor, *, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """Latents of a video (1, 3, F, H, W) in [-1, 1]: (1, C, (F-1)/4+1, h, w), float32."""
        self.needs("vae", "encoding a video")
        return self.through_vae("encode", video, progress_bar_cmd=progress_bar_cmd, **tiles).float()

    def decode_latents(
        self, latents: Tensor, *, progress_bar_cmd: ProgressBar = progress_bar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """Video of latents: (1, 3, F, H, W) in [-1, 1], float32."""
        self.needs("vae", "decoding a video")
        return self.through_vae("decode", latents, progress_bar_cmd=progress_bar_cmd, **tiles)

    def denoise(
        self,
        latents: Tensor,
        schedule: FlowMatchScheduler,
        texts: Texts,
        guidance: Guidance,
        progress_bar_cmd: ProgressBar,
        step_end: StepEnd | None = None,
        given: Contribution = NOTHING,
    ) -> Tensor:
        """Walks the latents down the schedule's noise levels, from whichever they are at to clean.

        Args:
            latents: (videos, 16, T, h, w).
            texts: by branch, (L, dim) for each video.
            step_end: what is told of each step, and may change what follows.
            given: what pictures, videos and masks contribute.
        """
        _check_windows(guidance.window, given)
        branches: Branches | None = None

        def velocity(index: int, latents: Tensor, texts: Texts) -> Tensor:
            nonlocal branches
            timestep = schedule.timesteps[index]
            expert = self._expert(timestep.item(), guidance.switch_boundary)
            if branches is None or branches.expert != expert or branches.texts is not texts:
                branches = None  # what the first expert kept of the prompts goes before the second one's weights come
                self.load_models_to_device([expert, *given.with_network.get(expert, ())])
                branches = Branches(self, expert, texts, guidance, len(schedule.timesteps) - index, given)
            return branches.velocity(latents, timestep.to(self.device))

        return self.walked(latents, schedule, texts, velocity, given, progress_bar_cmd, step_end)

    def _expert(self, timestep: float, boundary: float) -> str:
        return "dit2" if self.dit2 is not None and timestep < boundary * TRAINING_STEPS else "dit"


@dataclass
class Branches:
    """The text branches of one DiT over a generation: what is computed once for each and used at every step."""

    pipe: WanVideoPipeline
    expert: str
    texts: Texts
    guidance: Guidance
    steps: int
    given: Contribution

    def __post_init__(self) -> None:
        network = self.pipe.networks[self.expert]
        self.dit = network.module
        self.cfg_scale = self.guidance.cfg_scale[self.expert]
        self.contexts = {name: together(rows).to(network.dtype) for name, rows in self.texts.items()}
        if self.guidance.cfg_merge and self.cfg_scale != 1:
            self.contexts = {BOTH: both(self.contexts, len(self.texts[POSITIVE]))}
        self.text_caches = {name: TextCache() for name in self.contexts}
        self.tea_caches: dict[tuple[str, int], TeaCache] = {}

    def velocity(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The guided velocity of this step, float32, the shape of `latents`."""

        def predict_window(latents: Tensor, start: int) -> Tensor:
            frames = slice(start, start + latents.shape[2])

            def predict(latents: Tensor, branch: str) -> Tensor:
                velocity: Tensor = self.dit(
                    self.given.beside(latents, frames),
                    timestep_of(timestep, latents, self.given),
                    self.contexts[branch],
                    text_cache=self.text_caches[branch],
                    step_cache=self.tea_cache(branch, start),
                    **{name: of_batch(value, len(latents)) for name, value in self.given.inputs.items()},
                )
                return velocity

            return self.pipe.guided(predict, latents, self.cfg_scale, merge=self.guidance.cfg_merge)

        if self.guidance.window is None:
            return predict_window(latents, 0)
        size, stride = self.guidance.window
        return predict_in_windows(predict_window, latents, size=size, stride=stride)

    def tea_cache(self, branch: str, window_start: int) -> TeaCache | None:
        """The step cache of one branch in one window, made on its first step."""
        if self.guidance.tea_cache is None:
            return None
        key = (branch, window_start)
        if key not in self.tea_caches:
            self.tea_caches[key] = TeaCache(self.steps, *self.guidance.tea_cache)
        return self.tea_caches[key]


def timestep_of(timestep: Tensor, latents: Tensor, given: Contribution) -> Tensor:
    """Of each video, (B,); of each frame of it, (B, T), where some of the latents are kept: a clean one's is 0."""
    if given.kept is None:
        return timestep.expand(len(latents))
    clean = given.kept[0].to(latents).amax(dim=(1, 3, 4))
    return (timestep * (1 - clean)).expand(len(latents), -1)


def both(contexts: Mapping[str, Tensor], count: int) -> Tensor:
    """The contexts of both branches for so many videos as one batch, positive first.

    Raises:
        ValueError: they are not equally long.
    """
    lengths = [contexts[name].shape[1] for name in (POSITIVE, NEGATIVE)]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"cfg_merge=True runs both prompts as one batch, and their embeddings have {lengths[0]} and {lengths[1]} "
            "tokens: give embeddings of equal length, or leave cfg_merge out"
        )
    return torch.cat([contexts[name].expand(count, -1, -1) for name in (POSITIVE, NEGATIVE)])


def _check_windows(window: tuple[int, int] | None, given: Contribution) -> None:
    """Raises ValueError where windows are asked for, and something is given that belongs to the whole video."""
    if window is not None and (given.kept is not None or not given.inputs.keys() <= {"picture"}):
        raise ValueError(
            "sliding_window_size: what this model is given belongs to the whole video and cannot be cut into windows; "
            "leave the windows out"
        )


def _tea_cache_settings(threshold: float | None, model_id: str) -> tuple[float, str] | None:
    if threshold is None:
        return None
    check_number("tea_cache_l1_thresh", threshold)
    coefficients_of(model_id)
    return threshold, model_id
