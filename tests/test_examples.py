"""The example scripts: CUDA-form scripts of the public API, and the published guide's pair byte for byte."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
EXAMPLES = TESTS.parent / "examples"
GOLDEN = TESTS / "golden"
GUIDE = TESTS / "data" / "guide"

GUIDE_SCRIPT = "wanvideo/model_inference_low_vram/Wan2.1-T2V-1.3B.py"
DEVICE_NAME_IMPORT = "from diffsynth.core.device.npu_compatible_device import get_device_name\n"

NPU = re.compile(r"(?<![a-z])npu", re.IGNORECASE)  # not the one in "input_video"

#: Those that generate something, also with what a training wrote.
SCRIPTS = sorted(
    name
    for name in (path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py"))
    if "/model_inference" in name or "/validate_" in name
)
BY_HAND = (GOLDEN / "BY_HAND.txt").read_text("utf-8").splitlines()

WAN = """
    Wan2.1-T2V-1.3B Wan2.1-T2V-14B Wan2.2-T2V-A14B krea-realtime-video Wan2.2-TI2V-5B
    Wan2.1-I2V-14B-480P Wan2.1-I2V-14B-720P Wan2.1-FLF2V-14B-720P Wan2.2-I2V-A14B
    Wan2.1-VACE-1.3B-Preview Wan2.1-VACE-1.3B Wan2.1-VACE-14B Wan2.2-VACE-Fun-A14B
    Wan2.1-Fun-1.3B-InP Wan2.1-Fun-14B-InP Wan2.1-Fun-V1.1-1.3B-InP Wan2.1-Fun-V1.1-14B-InP Wan2.2-Fun-A14B-InP
    Wan2.1-Fun-1.3B-Control Wan2.1-Fun-14B-Control Wan2.1-Fun-V1.1-1.3B-Control Wan2.1-Fun-V1.1-14B-Control
    Wan2.2-Fun-A14B-Control Wan2.1-Fun-V1.1-1.3B-Control-Camera Wan2.1-Fun-V1.1-14B-Control-Camera
    Wan2.2-Fun-A14B-Control-Camera
""".split()

QWEN = """
    Qwen-Image Qwen-Image-2512 Qwen-Image-Edit Qwen-Image-Edit-2509 Qwen-Image-Edit-2511 Qwen-Image-Edit-Lowres-Fix
    Qwen-Image-Distill-Full Qwen-Image-Distill-LoRA Qwen-Image-Distill-DMD2 Qwen-Image-In-Context-Control-Union
    Qwen-Image-Blockwise-ControlNet-Canny Qwen-Image-Blockwise-ControlNet-Depth
    Qwen-Image-Blockwise-ControlNet-Inpaint Qwen-Image-Blockwise-ControlNet-InpaintCanny
    Qwen-Image-EliGen Qwen-Image-EliGen-V2 Qwen-Image-EliGen-Poster
    Qwen-Image-Layered Qwen-Image-Layered-Control Qwen-Image-Layered-Control-V2
""".split()

# The public API, as far as scripts may use it.
EXPORTS = {
    "diffsynth.pipelines.wan_video": {"WanVideoPipeline", "ModelConfig"},
    "diffsynth.pipelines.qwen_image": {"QwenImagePipeline", "ModelConfig", "ControlNetInput"},
    "diffsynth.pipelines.z_image": {"ZImagePipeline", "ModelConfig"},
    "diffsynth.core": {"load_state_dict"},
    "diffsynth.utils.data": {"VideoData", "save_video"},
    "diffsynth.core.device.npu_compatible_device": {"get_device_name"},
}
VRAM_CONFIG = {
    f"{state}_{what}" for state in ("offload", "onload", "preparing", "computation") for what in ("device", "dtype")
}
FROM_PRETRAINED = {"torch_dtype", "device", "model_configs", "tokenizer_config", "vram_limit"}
CALL = {
    "prompt",
    "negative_prompt",
    "denoising_strength",
    "seed",
    "rand_device",
    "height",
    "width",
    "cfg_scale",
    "num_inference_steps",
    "tiled",
    "tile_size",
    "tile_stride",
    "progress_bar_cmd",
}
KEYWORDS = {
    "ModelConfig": VRAM_CONFIG
    | {
        "path",
        "model_id",
        "origin_file_pattern",
        "download_source",
        "local_model_path",
        "skip_download",
        "clear_parameters",
        "state_dict",
        "quantize",
    },
    "WanVideoPipeline.from_pretrained": FROM_PRETRAINED
    | {"audio_processor_config", "redirect_common_files", "use_usp"},
    "WanVideoPipeline.__call__": CALL
    | {
        "input_image",
        "end_image",
        "input_video",
        "control_video",
        "reference_image",
        "camera_control_direction",
        "camera_control_speed",
        "camera_control_origin",
        "vace_video",
        "vace_video_mask",
        "vace_reference_image",
        "vace_scale",
        "num_frames",
        "cfg_merge",
        "switch_DiT_boundary",
        "sigma_shift",
        "sliding_window_size",
        "sliding_window_stride",
        "tea_cache_l1_thresh",
        "tea_cache_model_id",
        "framewise_decoding",
        "output_type",
    },
    "QwenImagePipeline.from_pretrained": FROM_PRETRAINED | {"processor_config"},
    "QwenImagePipeline.__call__": CALL
    | {
        "input_image",
        "inpaint_mask",
        "exponential_shift_mu",
        "layer_input_image",
        "layer_num",
        "eligen_entity_prompts",
        "eligen_entity_masks",
        "blockwise_controlnet_inputs",
        "edit_image",
        "edit_image_auto_resize",
        "edit_rope_interpolation",
        "zero_cond_t",
        "kv_cache",
        "negative_kv_cache",
        "context_image",
    },
    "ZImagePipeline.from_pretrained": FROM_PRETRAINED | {"enable_npu_patch"},
    "ZImagePipeline.__call__": CALL - {"tiled", "tile_size", "tile_stride"} | {"input_image", "sigma_shift"},
    "VideoData": {"video_file", "image_folder", "height", "width"},
    "save_video": {"frames", "path", "fps", "quality", "ffmpeg_params"},
}


def read(path: Path) -> str:
    """Text of a file with its line endings as they are."""
    return path.read_bytes().decode("utf-8")


def parse(script: str) -> ast.Module:
    return ast.parse(read(EXAMPLES / script), script)


def pipeline_of(script: str) -> str:
    of_folder = {"wanvideo": "WanVideoPipeline", "qwen_image": "QwenImagePipeline", "z_image": "ZImagePipeline"}
    return of_folder[script.partition("/")[0]]


def api_calls(script: str) -> Iterator[tuple[str, ast.Call]]:
    """Each call of the public API with its name in KEYWORDS; `pipe(...)` is the pipeline's `__call__`."""
    for node in ast.walk(parse(script)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            name = f"{pipeline_of(script)}.__call__" if name == "pipe" else name
            if name in KEYWORDS or name.endswith(".from_pretrained"):
                yield name, node


def vram_config_of(script: str) -> ast.Dict | None:
    """The dict literal assigned to `vram_config`, None if the script has none."""
    for node in parse(script).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "vram_config":
            assert isinstance(node.value, ast.Dict)
            return node.value
    return None


def test_every_model_has_both_scripts_in_both_folders() -> None:
    of_videos = ("Wan2.1-T2V-1.3B-V2V", "Wan2.1-T2V-14B-V2V", "Wan2.2-T2V-A14B-V2V")
    assert {script for script in SCRIPTS if "/model_inference" in script} == {
        f"{family}/{folder}/{name}.py"
        for folder in ("model_inference", "model_inference_low_vram")
        for family, names in (
            ("wanvideo", [*WAN, *of_videos]),
            ("qwen_image", [*QWEN, "Qwen-Image-I2I"]),
            ("z_image", ["Z-Image", "Z-Image-Turbo", "Z-Image-Turbo-I2I"]),
        )
        for name in names
    }


@pytest.mark.parametrize(("family", "models"), [("wanvideo", WAN), ("qwen_image", QWEN)])
def test_every_launch_script_has_one_that_tries_what_it_trained(family: str, models: list[str]) -> None:
    folder = EXAMPLES / family / "model_training"
    for kind in ("full", "lora"):
        launched = {path.stem for path in (folder / kind).glob("*.sh")}
        # Not all of Qwen-Image's are trained as a whole, or at all.
        assert launched == set(models) if family == "wanvideo" else launched <= set(models)
        assert {path.stem for path in (folder / f"validate_{kind}").glob("*.py")} == launched
        for name in launched:
            saved = re.findall(r'--output_path "\./(.*)"', read(folder / kind / f"{name}.sh"))
            tried = re.findall(
                r'"(models/train/[^"/]*)/epoch-\d\.safetensors"', read(folder / f"validate_{kind}" / f"{name}.py")
            )
            assert saved == tried


@pytest.mark.parametrize("script", SCRIPTS)
def test_compiles(script: str) -> None:
    text = read(EXAMPLES / script)
    compile(text, script, "exec", dont_inherit=True)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_imports_only_the_public_api(script: str) -> None:
    for node in ast.walk(parse(script)):
        if isinstance(node, ast.Import):
            assert [alias.name for alias in node.names] == ["torch"]
        elif isinstance(node, ast.ImportFrom) and node.module != "PIL":
            assert {alias.name for alias in node.names} <= EXPORTS[str(node.module)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_calls_use_only_known_keywords(script: str) -> None:
    names = []
    for name, call in api_calls(script):
        names.append(name)
        for keyword in call.keywords:
            if keyword.arg is None:
                assert name == "ModelConfig"
                assert ast.unparse(keyword.value) == "vram_config"
            else:
                assert keyword.arg in KEYWORDS[name], f"{name} has no keyword {keyword.arg}"
    pipeline = pipeline_of(script)
    assert names.count(f"{pipeline}.from_pretrained") == names.count(f"{pipeline}.__call__") == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_vram_config_is_complete_in_low_vram_scripts_and_absent_elsewhere(script: str) -> None:
    config = vram_config_of(script)
    keywords = {keyword.arg for _, call in api_calls(script) for keyword in call.keywords}
    if "/model_inference_low_vram/" in script:
        assert config is not None
        assert {key.value for key in config.keys if isinstance(key, ast.Constant)} == VRAM_CONFIG
        assert {None, "vram_limit"} <= keywords
    else:
        assert config is None
        assert not {None, "vram_limit"} & keywords


@pytest.mark.parametrize("script", SCRIPTS)
def test_is_in_its_cuda_form(script: str) -> None:
    text = read(EXAMPLES / script)
    # The guide's import names the file it comes from and stands in both of its texts, in no other script.
    assert text.count(DEVICE_NAME_IMPORT) == (script == GUIDE_SCRIPT)
    assert not NPU.search(text.replace(DEVICE_NAME_IMPORT, ""))
    assert '    device="cuda",\n' in text


def test_some_script_draws_its_noise_on_the_device() -> None:
    assert any('rand_device="cuda"' in read(EXAMPLES / script) for script in SCRIPTS)


def test_guide_pair_is_the_example_and_its_golden() -> None:
    assert (GUIDE / "before.py").read_bytes() == (EXAMPLES / GUIDE_SCRIPT).read_bytes()
    assert (GUIDE / "after.py").read_bytes() == (GOLDEN / GUIDE_SCRIPT).read_bytes()


def test_by_hand_lists_the_guide_and_ten_others() -> None:
    assert BY_HAND[0] == GUIDE_SCRIPT
    assert len(set(BY_HAND)) == len(BY_HAND) == 11
    assert set(BY_HAND) < set(SCRIPTS)


def line_after_the_guide(line: str) -> str:
    """The guide's two replacements; enough for the examples, where `"cuda"` is nothing but a device."""
    line = line.replace('torch.cuda.mem_get_info("cuda")', "torch.npu.mem_get_info(get_device_name())")
    return line.replace('"cuda"', '"npu"')


@pytest.mark.parametrize("script", BY_HAND)
def test_golden_by_hand_differs_from_its_example_only_where_cuda_stood(script: str) -> None:
    before = read(EXAMPLES / script).splitlines(keepends=True)
    after = read(GOLDEN / script).splitlines(keepends=True)
    assert (DEVICE_NAME_IMPORT in after) == any("get_device_name()" in line for line in after)
    if DEVICE_NAME_IMPORT in after and DEVICE_NAME_IMPORT not in before:
        place = after.index(DEVICE_NAME_IMPORT)
        assert after[place - 1].startswith("from diffsynth.")
        assert not any(line.startswith("from diffsynth.") for line in after[place + 1 :])
        del after[place]
    assert after == [line_after_the_guide(line) for line in before]
