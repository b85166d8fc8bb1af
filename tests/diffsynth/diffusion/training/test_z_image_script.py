"""The Z-Image training script: a LoRA and the whole network, in one run and in two stages, killed and resumed."""

import signal
from functools import partial

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.pipelines.z_image import ModelConfig, ZImagePipeline
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.diffusion.training.conftest import FULL, LORA, losses, run
from tests.diffsynth.diffusion.training.test_resuming import RESUME, RUN, assert_same_bits

FAMILY, MODEL = "z_image", "Tongyi-MAI/Z-Image-Turbo"
DIT = f"{MODEL}:transformer/*.safetensors"
ENCODERS = f"{MODEL}:text_encoder/*.safetensors,{MODEL}:vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def z_image(training_models):
    make_weights(MODEL, training_models)
    return training_models


@pytest.fixture
def train(train_here, z_image):
    return partial(train_here, family=FAMILY)


@pytest.fixture
def flags_of(picture_folder):
    def flags(output, *more):
        return [
            *("--dataset_base_path", picture_folder, "--dataset_metadata_path", picture_folder / "metadata.csv"),
            *("--model_id_with_origin_paths", f"{DIT},{ENCODERS}", "--max_pixels", str(32 * 48)),
            *("--torch_dtype", "float32", "--output_path", output, "--enable_csv_log"),
            *more,
        ]

    return flags


def weights(folder, name="epoch-0"):
    return load_file(folder / f"{name}.safetensors")


def test_encoded_once_it_trains_step_for_step_the_same(flags_of, train, tmp_path):
    train(flags_of(tmp_path / "sft", *LORA, "--use_gradient_checkpointing"))
    train(flags_of(tmp_path / "encoded", "--task", "sft:data_process", "--model_id_with_origin_paths", ENCODERS))
    encoded = ["--dataset_base_path", tmp_path / "encoded", "--model_id_with_origin_paths", DIT]
    train(flags_of(tmp_path / "split", *LORA, *encoded, "--task", "sft:train", "--enable_npu_patch"))
    assert losses(tmp_path / "split") == losses(tmp_path / "sft")
    assert len(losses(tmp_path / "sft")) == 5
    one, other = weights(tmp_path / "sft"), weights(tmp_path / "split")
    assert all(torch.equal(one[name], other[name]) for name in one)
    layers = [f"attention.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")]
    layers += [f"feed_forward.{name}" for name in ("w1", "w2", "w3")]
    blocks = ["layers.0", "layers.1", "noise_refiner.0", "context_refiner.0"]
    assert set(one) == {
        f"{block}.{layer}.lora_{half}.default.weight" for block in blocks for layer in layers for half in "AB"
    }


def test_the_whole_network(flags_of, train, tmp_path, z_image):
    train(flags_of(tmp_path, *FULL, "--learning_rate", "1e-3"))
    published = {}
    for path in (z_image / MODEL / "transformer").glob("*.safetensors"):
        published.update(load_file(path))
    saved = weights(tmp_path)
    assert saved.keys() == published.keys()
    assert [name for name, tensor in published.items() if torch.equal(saved[name], tensor.float())] == []


def opened(models):
    def config(pattern):
        return ModelConfig(model_id=MODEL, origin_file_pattern=pattern, local_model_path=models, skip_download=True)

    files = [name.partition(":")[2] for name in f"{DIT},{ENCODERS}".split(",")]
    return ZImagePipeline.from_pretrained(
        torch_dtype=torch.float32,
        device="cpu",
        model_configs=[config(pattern) for pattern in files],
        tokenizer_config=config("tokenizer/"),
    )


def test_a_lora_loads_in_the_pipeline_and_changes_the_picture(flags_of, train, tmp_path, z_image):
    validation = ["--validation_prompt", "a dog", "--validation_steps", "5", "--height", "32", "--width", "48"]
    train(flags_of(tmp_path, *LORA, *validation, "--learning_rate", "1e-2"))
    pipe = opened(z_image)
    before = pipe("a dog", height=32, width=48, seed=0)
    pipe.load_lora(pipe.dit, tmp_path / "epoch-0.safetensors")
    after = pipe("a dog", height=32, width=48, seed=0)
    assert after.tobytes() != before.tobytes()
    assert Image.open(tmp_path / "validation/step-5.png").tobytes() == after.tobytes()


def test_direct_distillation(flags_of, train, tmp_path):
    metadata = tmp_path / "one.csv"
    metadata.write_text("image,prompt,seed,num_inference_steps,cfg_scale\nimage_0.png,a red circle,3,2,2.0\n")
    flags = flags_of(tmp_path / "out", "--dataset_metadata_path", metadata, "--dataset_repeat", "4")
    train([*flags, *LORA, "--task", "direct_distill", "--learning_rate", "1e-3"])
    found = losses(tmp_path / "out")
    assert len(found) == 4
    assert found[-1] < found[0]  # the same row each time, with the same noise


@pytest.mark.slow
@pytest.mark.parametrize("trained", [LORA, FULL], ids=["lora", "full"])
def test_killed_and_resumed_it_ends_in_the_same_bits(flags_of, train, launch, tmp_path, trained):
    train(flags_of(tmp_path / "whole", *trained, *RUN))
    killed = flags_of(tmp_path / "killed", *trained, *RUN)
    done = launch("cpu", run(killed, FAMILY, loss=8))
    assert done.returncode == -signal.SIGKILL, done.stderr
    train([*killed, *RESUME])
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


def test_bad_input(flags_of, train, tmp_path):
    with pytest.raises(TrainingError, match="'q' matches no linear layer of ZImageDiT"):
        train(flags_of(tmp_path, *LORA, "--lora_target_modules", "q,k"))
    with pytest.raises(TrainingError, match=r"--extra_inputs edit_image: .* takes none"):
        train(flags_of(tmp_path, *LORA, "--extra_inputs", "edit_image"))
