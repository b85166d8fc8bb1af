"""A call of a pipeline keeps what the script asked for, but for the amount of work."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from diffsynth.pipelines.qwen_image import ControlNetInput, QwenImagePipeline
from diffsynth.pipelines.wan_video import WanVideoPipeline
from diffsynth.utils.data import VideoData
from script_trial.adapters.diffsynth_port.smaller import smaller_call

CALL = WanVideoPipeline.__call__


def work_of(*args: Any, noise_on_cpu: bool = False, **kwargs: Any) -> dict[str, Any]:
    """What the pipeline is asked for, where a script asks so."""
    asked: dict[str, Any] = {}

    def generate(
        pipe: object,
        prompt: str = "",
        input_video: Any = None,
        seed: int | None = None,
        rand_device: str = "cpu",
        height: int = 480,
        width: int = 832,
        num_frames: int = 81,
        num_inference_steps: int = 50,
        tiled: bool = True,
        tile_size: tuple[int, int] = (30, 52),
        tile_stride: tuple[int, int] = (15, 26),
        sliding_window_size: int | None = None,
        sliding_window_stride: int | None = None,
        tea_cache_l1_thresh: float | None = None,
    ) -> None:
        asked.update({name: value for name, value in locals().items() if name not in ("pipe", "asked")})

    smaller_call(generate, lambda _: None, noise_on_cpu)(object(), *args, **kwargs)
    return asked


def test_less_work_and_the_rest_as_asked() -> None:
    work = work_of("a cat", seed=7, rand_device="npu", height=720, width=1280, num_inference_steps=40)
    assert (work["height"], work["width"], work["num_frames"], work["num_inference_steps"]) == (32, 48, 5, 2)
    assert (work["prompt"], work["seed"], work["rand_device"], work["tiled"]) == ("a cat", 7, "npu", True)


def test_a_single_step_stays_one() -> None:
    assert work_of(num_inference_steps=1)["num_inference_steps"] == 1


def test_several_tiles_in_both_directions() -> None:
    work = work_of()
    rows, columns = work["height"] // 8, work["width"] // 8
    assert work["tile_size"][0] < rows
    assert work["tile_size"][1] < columns


def test_a_window_leaves_room_for_another_and_a_cache_is_used() -> None:
    work = work_of(sliding_window_size=16, sliding_window_stride=8)
    assert (work["num_frames"] - 1) // 4 + 1 > work["sliding_window_size"] > work["sliding_window_stride"]
    assert work_of(tea_cache_l1_thresh=0.05)["num_inference_steps"] == 4


def test_an_input_video_is_cut_to_the_same() -> None:
    video = [Image.new("RGB", (832, 480), (index, 0, 0)) for index in range(81)]
    frames = work_of(input_video=video)["input_video"]
    assert [frame.size for frame in frames] == [(48, 32)] * 5
    assert [frame.getpixel((0, 0))[0] for frame in frames] == [0, 1, 2, 3, 4]


class Watched(VideoData):
    """Tells of the sizes of frames that are read."""

    read: ClassVar[list[tuple[int, int]]] = []

    def __getitem__(self, index: Any) -> Any:
        frame = super().__getitem__(index)
        self.read.append(frame.size)
        return frame


def test_a_video_makes_its_frames_no_larger_than_they_are_used(tmp_path: Path) -> None:
    for index in range(5):
        Image.new("RGB", (96, 64), (index, 0, 0)).save(tmp_path / f"{index}.png")
    video = Watched(image_folder=tmp_path, height=720, width=1280)
    frames = work_of(input_video=video)["input_video"]
    assert Watched.read == [(48, 32)] * 5
    assert [frame.getpixel((0, 0))[0] for frame in frames] == [0, 1, 2, 3, 4]
    assert video[0].size == (1280, 720)


def test_noise_on_the_cpu_for_cards_that_draw_other_numbers() -> None:
    assert work_of(rand_device="npu", noise_on_cpu=True)["rand_device"] == "cpu"


def test_what_the_pipeline_does_not_know_it_says_itself() -> None:
    pipe = WanVideoPipeline(device="cpu")
    with pytest.raises(TypeError, match="did you mean 'num_frames'"):
        smaller_call(CALL, lambda _: None)(pipe, prompt="a cat", num_frame=81)


def test_the_arguments_changed_are_those_of_the_real_pipeline() -> None:
    names = set(inspect.signature(CALL).parameters)
    video = [Image.new("RGB", (8, 8))] * 9
    assert set(work_of(sliding_window_size=2, sliding_window_stride=1, input_video=video)) < names


def work_of_a_picture(**asked: Any) -> dict[str, Any]:
    """What a Qwen-Image pipeline is asked for, where a script asks so."""
    given: dict[str, Any] = {}

    def generate(pipe: object, *args: Any, **kwargs: Any) -> None:
        given.update(kwargs, **dict(zip(names, args, strict=False)))

    names = [name for name in inspect.signature(QwenImagePipeline.__call__).parameters if name != "self"]
    generate.__signature__ = inspect.signature(QwenImagePipeline.__call__)  # type: ignore[attr-defined]
    smaller_call(generate, lambda _: None)(object(), **asked)
    return given


def test_a_picture_is_small_and_its_tiles_are_numbers() -> None:
    work = work_of_a_picture(prompt="a cat", height=1328, width=1328, num_inference_steps=40, tiled=True)
    assert (work["height"], work["width"], work["num_inference_steps"]) == (32, 48, 2)
    assert (work["tile_size"], work["tile_stride"]) == (3, 1)
    assert "edit_image" not in work


def test_prompts_are_short_and_not_of_one_length() -> None:
    asked = "A potter shapes a tall clay vase on a spinning wheel in a sunlit workshop."
    work = work_of_a_picture(prompt=asked, negative_prompt=asked, eligen_entity_prompts=[asked, "a cat"])
    assert asked.startswith(work["prompt"])
    assert asked.startswith(work["negative_prompt"])
    assert len(work["negative_prompt"]) < len(work["prompt"]) < 32
    assert work["eligen_entity_prompts"] == [work["negative_prompt"], "a cat"]
    assert work_of_a_picture(prompt=["a cat", asked])["prompt"] == ["a cat", work["prompt"]]
    assert work_of_a_picture(prompt=7)["prompt"] == 7


def test_pictures_to_start_from_and_to_edit_are_small_too() -> None:
    large = Image.new("RGB", (900, 700))
    assert work_of_a_picture(input_image=large)["input_image"].size == (48, 32)
    one = work_of_a_picture(edit_image=large)
    assert (one["edit_image"].size, one["edit_image_auto_resize"]) == ((48, 32), False)
    several = work_of_a_picture(edit_image=[large, large])
    assert [picture.size for picture in several["edit_image"]] == [(48, 32)] * 2


def test_pictures_to_follow_and_masks_are_small_too() -> None:
    large = Image.new("RGB", (900, 700))
    given = ControlNetInput(controlnet_id=1, scale=0.5, image=large, inpaint_mask=large)
    (control,) = work_of_a_picture(blockwise_controlnet_inputs=[given])["blockwise_controlnet_inputs"]
    assert (control.image.size, control.inpaint_mask.size) == ((48, 32), (48, 32))
    assert (control.controlnet_id, control.scale, given.image.size) == (1, 0.5, (900, 700))
    masks = work_of_a_picture(eligen_entity_masks=[large, large])["eligen_entity_masks"]
    assert [mask.size for mask in masks] == [(48, 32)] * 2
    assert work_of_a_picture(layer_input_image=large.convert("RGBA"))["layer_input_image"].size == (48, 32)
    assert work_of_a_picture(blockwise_controlnet_inputs=["a.png"])["blockwise_controlnet_inputs"] == ["a.png"]


@pytest.mark.parametrize("edit_image", [None, "a.jpg", []])
def test_what_is_no_picture_is_left_to_the_pipeline(edit_image: Any) -> None:
    assert work_of_a_picture(edit_image=edit_image).get("edit_image") == edit_image
