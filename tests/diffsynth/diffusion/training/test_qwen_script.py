"""The Qwen-Image training script: pictures, edits of one and of several, and what it says to bad input."""

import signal
from functools import partial

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline
from tests.diffsynth.diffusion.training.conftest import (
    CANNY,
    FULL,
    INPAINT,
    LAYERED_MODELS,
    LORA,
    QWEN,
    QWEN_DIT,
    QWEN_EDIT,
    QWEN_ENCODERS,
    edit_flags,
    losses,
    run,
)
from tests.diffsynth.diffusion.training.driver import QWEN as FAMILY

EDIT_MODEL = ["--model_id_with_origin_paths", f"{QWEN_EDIT}:transformer/*.safetensors,{QWEN_ENCODERS}"]


@pytest.fixture
def train(train_here):
    return partial(train_here, family=FAMILY)


def weights(folder, name="epoch-0"):
    return load_file(folder / f"{name}.safetensors")


@pytest.mark.parametrize("metadata", ["metadata.csv", "metadata_edit.csv", "metadata_edit_multi.json"])
def test_encoded_once_it_trains_step_for_step_the_same(qwen_flags_of, picture_folder, train, tmp_path, metadata):
    edit = [] if metadata == "metadata.csv" else [*EDIT_MODEL, *edit_flags(picture_folder, metadata)]
    train(qwen_flags_of(tmp_path / "sft", *edit, *LORA))
    encode = qwen_flags_of(tmp_path / "encoded", *edit, "--task", "sft:data_process")
    train([*encode, "--model_id_with_origin_paths", QWEN_ENCODERS])
    encoded = ["--dataset_base_path", tmp_path / "encoded", "--task", "sft:train"]
    train(qwen_flags_of(tmp_path / "split", *edit, *LORA, *encoded))
    assert losses(tmp_path / "split") == losses(tmp_path / "sft")
    assert len(losses(tmp_path / "sft")) == 5
    one, other = weights(tmp_path / "sft"), weights(tmp_path / "split")
    assert all(torch.equal(one[name], other[name]) for name in one)
    pictures = {"metadata.csv": 0, "metadata_edit.csv": 1, "metadata_edit_multi.json": 2}[metadata]
    (first,) = (tmp_path / "encoded").glob("00000000-*.safetensors")
    sample = load_file(first)
    assert sum(name.startswith("edit_latents") for name in sample) == pictures


def test_the_pictures_to_edit_count(encoded_qwen_flags_of, encoded_pictures, train, tmp_path):
    """Without their latents, and without their share of the prompt's features, the losses are others."""
    train(encoded_qwen_flags_of(tmp_path / "all", *LORA))
    for name in ("edit_latents_00", "positive"):
        folder = tmp_path / f"other {name}"
        folder.mkdir()
        (folder / "encoded.json").write_bytes((encoded_pictures / "encoded.json").read_bytes())
        for path in encoded_pictures.glob("*.safetensors"):
            sample = load_file(path)
            save_file({**sample, name: sample[name].roll(1, dims=-1)}, folder / path.name)
        train(encoded_qwen_flags_of(tmp_path / name, *LORA, "--dataset_base_path", folder))
        assert all(one != other for one, other in zip(losses(tmp_path / name), losses(tmp_path / "all"), strict=True))


def test_pictures_to_edit_at_timestep_zero(encoded_qwen_flags_of, train, tmp_path):
    train(encoded_qwen_flags_of(tmp_path / "2509", *LORA))
    train(encoded_qwen_flags_of(tmp_path / "2511", *LORA, "--zero_cond_t"))
    assert all(one != other for one, other in zip(losses(tmp_path / "2509"), losses(tmp_path / "2511"), strict=True))


def test_the_whole_network(encoded_qwen_flags_of, train, tmp_path, training_models):
    train(encoded_qwen_flags_of(tmp_path, *FULL, "--learning_rate", "1e-3"))
    published = {}
    for path in (training_models / QWEN_EDIT / "transformer").glob("*.safetensors"):
        published.update(load_file(path))
    saved = weights(tmp_path)
    assert saved.keys() == published.keys()
    assert all(saved[name].shape == tensor.shape for name, tensor in published.items())
    changed = {name for name, tensor in published.items() if not torch.equal(saved[name], tensor.float())}
    # The last block's text is read by nothing after it.
    assert {name for name in published if name not in changed} <= {
        f"transformer_blocks.1.{layer}.{part}"
        for layer in ("attn.to_add_out", "txt_mlp.net.0.proj", "txt_mlp.net.2", "attn.norm_added_q")
        for part in ("weight", "bias")
    }


def test_where_the_tokens_are_kept_changes_no_loss(encoded_qwen_flags_of, train, tmp_path):
    kept = ["--no-use_gradient_checkpointing", "--use_gradient_checkpointing", "--use_gradient_checkpointing_offload"]
    for flag in kept:
        train(encoded_qwen_flags_of(tmp_path / flag, *LORA, "--learning_rate", "1e-2", flag))
    assert losses(tmp_path / kept[0]) == losses(tmp_path / kept[1]) == losses(tmp_path / kept[2])


@pytest.fixture
def open_pipe(training_models):
    def start():
        def config(pattern):
            return ModelConfig(
                model_id=QWEN, origin_file_pattern=pattern, local_model_path=training_models, skip_download=True
            )

        files = [name.partition(":")[2] for name in f"{QWEN_DIT},{QWEN_ENCODERS}".split(",")]
        return QwenImagePipeline.from_pretrained(
            torch_dtype=torch.float32,
            device="cpu",
            model_configs=[config(pattern) for pattern in files],
            tokenizer_config=config("tokenizer/"),
        )

    return start


def picture(pipe):
    return pipe("a dog", height=32, width=48, num_inference_steps=2, seed=0).tobytes()


def test_a_lora_loads_in_the_pipeline_and_changes_the_picture(qwen_flags_of, train, tmp_path, open_pipe):
    """Under the published names; and training goes on from a file of them."""
    train(qwen_flags_of(tmp_path / "first", *LORA, "--learning_rate", "1e-2"))
    saved = weights(tmp_path / "first")
    layers = [f"attn.{name}" for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")]
    layers += ["attn.to_out.0", "attn.to_add_out"]
    layers += [f"{stream}_{layer}" for stream in ("img", "txt") for layer in ("mlp.net.2", "mod.1")]
    assert set(saved) == {
        f"transformer_blocks.{block}.{layer}.lora_{half}.default.weight"
        for block in (0, 1)
        for layer in layers
        for half in "AB"
    }
    pipe = open_pipe()
    before = picture(pipe)
    pipe.load_lora(pipe.dit, tmp_path / "first/epoch-0.safetensors")
    assert picture(pipe) != before
    pipe.clear_lora()
    assert picture(pipe) == before

    published = {f"transformer.{name.replace('.default', '')}": tensor for name, tensor in saved.items()}
    save_file(published, tmp_path / "published.safetensors")
    pipe.load_lora(pipe.dit, tmp_path / "published.safetensors")
    assert picture(pipe) != before
    train(qwen_flags_of(tmp_path / "on", *LORA, "--lora_checkpoint", tmp_path / "published.safetensors"))
    train(qwen_flags_of(tmp_path / "fused", *LORA, "--preset_lora_path", tmp_path / "published.safetensors"))
    assert losses(tmp_path / "on")[0] == pytest.approx(losses(tmp_path / "fused")[0], rel=1e-4)
    assert losses(tmp_path / "on")[0] != pytest.approx(losses(tmp_path / "first")[0], rel=1e-4)


def test_direct_distillation(qwen_flags_of, train, tmp_path):
    metadata = tmp_path / "one.csv"
    metadata.write_text("image,prompt,seed,num_inference_steps,cfg_scale\nimage_0.png,a red circle,3,2,2.0\n")
    flags = qwen_flags_of(tmp_path / "out", "--dataset_metadata_path", metadata, "--dataset_repeat", "4")
    train([*flags, *LORA, "--task", "direct_distill", "--learning_rate", "1e-3"])
    found = losses(tmp_path / "out")
    assert len(found) == 4
    assert found[-1] < found[0]  # the same row each time, with the same noise


def test_a_validation_picture_leaves_the_run_as_it_is(qwen_flags_of, train, tmp_path):
    validation = ["--validation_prompt", "a dog", "--validation_steps", "2", "--validation_inference_steps", "2"]
    size = ["--height", "32", "--width", "48"]
    train(qwen_flags_of(tmp_path / "watched", *LORA, *size, *validation, "--learning_rate", "1e-2"))
    train(qwen_flags_of(tmp_path / "alone", *LORA, *size, "--learning_rate", "1e-2"))
    pictures = sorted((tmp_path / "watched/validation").iterdir())
    assert [path.name for path in pictures] == ["step-2.png", "step-4.png"]
    shown = [Image.open(path) for path in pictures]
    assert shown[0].size == (48, 32)
    assert shown[0].tobytes() != shown[1].tobytes()
    assert losses(tmp_path / "watched") == losses(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("several", ["", ","], ids=["one", "list"])
def test_a_validation_picture_that_is_an_edit(qwen_flags_of, picture_folder, train, tmp_path, several):
    """A picture to edit is brought to a megapixel."""
    validation = ["--validation_prompt", "a dog", "--validation_steps", "3", "--validation_inference_steps", "1"]
    validation += ["--validation_edit_image", f"{picture_folder / 'edit_0_1.png'}{several}"]
    size = ["--height", "32", "--width", "48"]
    train(qwen_flags_of(tmp_path, *LORA, *EDIT_MODEL, *edit_flags(picture_folder), *size, *validation))
    assert Image.open(tmp_path / "validation/step-3.png").size == (48, 32)


def test_pictures_keep_their_shape(qwen_flags_of, picture_folder, train, tmp_path):
    """The result is cut to multiples of 16 under --max_pixels; what it was edited from keeps its proportions."""
    Image.new("RGB", (60, 100)).save(picture_folder / "tall.png")
    metadata = tmp_path / "tall.csv"
    metadata.write_text("image,edit_image,prompt\ntall.png,tall.png,x\nimage_0.png,tall.png,x\n")
    flags = qwen_flags_of(tmp_path / "encoded", *edit_flags(picture_folder, metadata), "--max_pixels", "3000")
    train([*flags, "--task", "sft:data_process", "--model_id_with_origin_paths", QWEN_ENCODERS])
    for row, latents in enumerate([(8, 4), (4, 6)]):
        (file,) = (tmp_path / "encoded").glob(f"{row:08d}-*.safetensors")
        sample = load_file(file)
        assert sample["latents"].shape == (1, 16, *latents)
        assert sample["edit_latents_00"].shape == (1, 16, 8, 4)  # 64x32 for 60x100: multiples of 32


# By metadata file: what a run of these rows names, and the tensors that its samples have besides.
CONTROLNET = ["--trainable_models", "blockwise_controlnet", "--learning_rate", "1e-2"]
KINDS = {
    "metadata_context.csv": (["context_image"], LORA, f"{QWEN_DIT},{QWEN_ENCODERS}", {"context_latents"}),
    "metadata_controlnet_canny.csv": (
        ["blockwise_controlnet_image"],
        CONTROLNET,
        f"{QWEN_DIT},{QWEN_ENCODERS},{CANNY}:model.safetensors",
        {"control_latents"},
    ),
    "metadata_controlnet_inpaint.csv": (
        ["blockwise_controlnet_image", "blockwise_controlnet_inpaint_mask"],
        LORA,
        f"{QWEN_DIT},{QWEN_ENCODERS},{INPAINT}:model.safetensors",
        {"control_latents"},
    ),
    "metadata_eligen.json": (
        ["eligen_entity_masks", "eligen_entity_prompts"],
        LORA,
        f"{QWEN_DIT},{QWEN_ENCODERS}",
        {"entity_masks", "entity_00"},
    ),
    "metadata_layered.json": (["layer_num", "layer_input_image"], LORA, LAYERED_MODELS, {"layer_latents"}),
    "metadata_layered_control.json": (
        ["layer_num", "layer_input_image", "context_image"],
        ["--trainable_models", "dit", "--learning_rate", "1e-3"],
        LAYERED_MODELS,
        {"layer_latents", "context_latents"},
    ),
}


@pytest.fixture
def kind_flags_of(qwen_flags_of, picture_folder):
    """kind_flags_of(metadata, output, *more): a run of that kind."""

    def flags(metadata, output, *more):
        extra, trained, models, _ = KINDS[metadata]
        files = ["image", *(name for name in extra if name not in ("eligen_entity_prompts", "layer_num"))]
        return qwen_flags_of(
            output,
            *("--dataset_metadata_path", picture_folder / metadata, "--extra_inputs", ",".join(extra)),
            *("--data_file_keys", ",".join(files), *trained, *more),
            models=models,
        )

    return flags


@pytest.mark.parametrize(
    "metadata",
    [name if "controlnet_canny" in name else pytest.param(name, marks=pytest.mark.slow) for name in KINDS],
)
def test_what_else_a_model_takes(kind_flags_of, train, tmp_path, metadata):
    """Encoded once, and without the DiT, it trains step for step as it does with the encoders; and each part counts."""
    _, _, models, parts = KINDS[metadata]
    train(kind_flags_of(metadata, tmp_path / "sft"))
    encoders = ",".join(one for one in models.split(",") if "text_encoder" in one or "vae" in one)
    encode = ["--task", "sft:data_process", "--model_id_with_origin_paths", encoders]
    train(kind_flags_of(metadata, tmp_path / "encoded", *encode))
    split = ["--task", "sft:train", "--dataset_base_path"]
    train(kind_flags_of(metadata, tmp_path / "split", *split, tmp_path / "encoded"))
    assert losses(tmp_path / "split") == losses(tmp_path / "sft")
    one, other = weights(tmp_path / "sft"), weights(tmp_path / "split")
    assert all(torch.equal(one[name], other[name]) for name in one)
    for part in parts:
        folder = tmp_path / part
        folder.mkdir()
        (folder / "encoded.json").write_bytes((tmp_path / "encoded/encoded.json").read_bytes())
        for path in (tmp_path / "encoded").glob("*.safetensors"):
            sample = load_file(path)
            assert parts <= set(sample)
            save_file({**sample, part: sample[part].roll(1, dims=-1)}, folder / path.name)
        train(kind_flags_of(metadata, tmp_path / f"other {part}", *split, folder))
        assert losses(tmp_path / f"other {part}") != losses(tmp_path / "sft")


@pytest.mark.slow
def test_a_controlnet_is_saved_under_the_published_names_and_goes_on(kind_flags_of, train, tmp_path, training_models):
    metadata = "metadata_controlnet_canny.csv"
    train(kind_flags_of(metadata, tmp_path / "whole", "--num_epochs", "2"))
    published = load_file(training_models / CANNY / "model.safetensors")
    saved = weights(tmp_path / "whole", "epoch-1")
    assert saved.keys() == published.keys()
    assert not any(torch.equal(saved[name], tensor.float()) for name, tensor in published.items())
    train(kind_flags_of(metadata, tmp_path / "resumed", "--num_epochs", "1"))
    on = ["--num_epochs", "2", "--resume_from_checkpoint", "latest", "--resume_with_other_settings"]
    train(kind_flags_of(metadata, tmp_path / "resumed", *on))
    resumed = weights(tmp_path / "resumed", "epoch-1")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in saved.items())


@pytest.mark.slow
@pytest.mark.parametrize("metadata", [name for name in KINDS if "inpaint" not in name])
def test_killed_and_resumed_each_kind_ends_in_the_same_bits(kind_flags_of, train, launch, tmp_path, metadata):
    more = ["--num_epochs", "2", "--save_steps", "2"]
    train(kind_flags_of(metadata, tmp_path / "whole", *more))
    killed = kind_flags_of(metadata, tmp_path / "killed", *more)
    done = launch("cpu", run(killed, FAMILY, loss=4))
    assert done.returncode == -signal.SIGKILL, done.stderr
    train([*killed, "--resume_from_checkpoint", "latest"])
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    whole, resumed = (weights(tmp_path / name, "step-10") for name in ("whole", "killed"))
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_layers_that_are_not_as_many_as_said(kind_flags_of, picture_folder, train, tmp_path):
    metadata = tmp_path / "bad.jsonl"
    metadata.write_text('{"image": ["image_0.png"], "prompt": "x", "layer_num": 2, "layer_input_image": "image_0.png"}')
    flags = kind_flags_of("metadata_layered.json", tmp_path / "out", "--dataset_metadata_path", metadata)
    with pytest.raises(BadSampleError, match=r"row 1: image names 1 pictures, expected layer_num \+ 1 of one size"):
        train(flags)


BAD = {
    "target": (
        [*LORA, "--lora_target_modules", "q,k,v,o"],
        "'q' matches no linear layer of QwenImageDiT; its layers e",
    ),
    "extra inputs": (
        [*LORA, "--extra_inputs", "layer_nums"],
        "--extra_inputs layer_nums: .* takes edit_image, context_image, .*, layer_num, layer_input_image$",
    ),
    "edit image unused": ([*LORA, "--data_file_keys", "image,edit_image"], "give --extra_inputs edit_image as well"),
    "no encoder": ([*LORA, "--model_id_with_origin_paths", QWEN_DIT], "--task sft needs the text_encoder: name its fi"),
    "no context image": (
        [*LORA, "--extra_inputs", "context_image"],
        "row . names no file under 'context_image', which this run",
    ),
    "no edit image": (
        [*LORA, "--extra_inputs", "edit_image"],
        "row . names no file under 'edit_image', which this run",
    ),
    "validation of a context": (
        [*LORA, "--extra_inputs", "context_image", "--validation_prompt", "a dog"],
        "--validation_prompt has nothing to give the model as context_image: leave it out",
    ),
    "validation": (
        [*LORA, "--validation_edit_image", "a.png"],
        "this run does not train on edits; give --extra_inputs",
    ),
    "no validation picture": (
        [*LORA, "--extra_inputs", "edit_image", "--validation_edit_image", "gone.png"],
        "--validation_edit_image gone.png: .*No such file",
    ),
    "batch": (
        [*LORA, "--batch_size", "5"],
        "positive of one batch differ in shape, .* --batch_size 1 and --gradient_a",
    ),
    "size": ([*LORA, "--height", "40", "--width", "48"], "--height 40: expected a multiple of 16"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(qwen_flags_of, train, tmp_path, name):
    flags, message = BAD[name]
    with pytest.raises((TrainingError, DatasetError, BadSampleError), match=message):
        train(qwen_flags_of(tmp_path, *flags))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("image_0.png,gone.png,x", r"row 1, edit_image: .*gone\.png: there is no such file"),
        (
            "image_0.png,edit_0.png,<|image_pad|>",
            "row 1: the pictures to edit take .* or it names <.image_pad.> itself",
        ),
        (",edit_0.png,x", "row 1 names no file under 'image'"),
    ],
)
def test_a_bad_row(qwen_flags_of, picture_folder, train, tmp_path, row, message):
    metadata = tmp_path / "bad.csv"
    metadata.write_text(f"image,edit_image,prompt\n{row}\n")
    flags = [*edit_flags(picture_folder, metadata), "--task", "sft:data_process"]
    with pytest.raises(BadSampleError, match=message):
        train(qwen_flags_of(tmp_path / "out", *flags, models=QWEN_ENCODERS))
