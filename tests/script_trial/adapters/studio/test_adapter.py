"""The adapter of DiffSynth-Studio, without DiffSynth-Studio: what it takes from names, signatures and configs."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from script_trial.adapters.studio import adapter, as_on_npu, catalogue, hard_coded, host_work, training
from script_trial.adapters.studio.calls import smaller_arguments, smaller_call
from script_trial.adapters.studio.sizes import small_arguments
from script_trial.adapters.studio.tokenizer_folders import TOKEN_IDS, kind_of, write_tokenizer
from script_trial.adapters.studio.weights import write_weights
from script_trial.known_adapters import adapter_for

TABLE = """
wan_series = [
    {
        # Example: ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="diffusion*.safetensors")
        "model_hash": "14b",
        "model_name": "wan_video_dit",
    },
    # Example: ModelConfig(model_id="Wan-AI/Wan2.1-T2V-14B", origin_file_pattern="Wan2.1_VAE.pth")
    {
        "model_hash": "vae",
        "model_name": "wan_video_vae",
    },
    {
        # Example: ModelConfig(model_id="Qwen/Qwen-Image", origin_file_pattern="text_encoder/model*.safetensors")
        "model_hash": "0319a1cb19835fb510907dd3367c95ff",
        "model_name": "qwen_image_dit",
    },
    {
        # Example: ???
        "model_hash": "unknown",
        "model_name": "nobody",
    },
]
MODEL_CONFIGS = wan_series
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    file = tmp_path / "model_configs.py"
    file.write_text(TABLE)
    spec = importlib.util.spec_from_file_location("model_configs", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(catalogue, "studio", lambda _: module)
    catalogue._names_by_hash.cache_clear()
    yield
    catalogue._names_by_hash.cache_clear()


class Recorder:
    """What an adapter tells a trial."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.noise_on_cpu = False
        self.working: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextlib.contextmanager
    def host_work(self, why: str) -> Iterator[None]:
        self.working.append(why)
        yield
        self.working.pop()


def test_is_told_from_our_own_package(tmp_path):
    ours = importlib.util.find_spec("diffsynth")
    assert ours is not None
    assert not adapter.is_for(ours)
    assert getattr(adapter_for(ours), "name", None) == "diffsynth-port"
    (tmp_path / "diffsynth" / "configs").mkdir(parents=True)
    for name in ("__init__.py", "configs/model_configs.py"):
        (tmp_path / "diffsynth" / name).touch()
    theirs = importlib.util.spec_from_file_location("diffsynth", tmp_path / "diffsynth" / "__init__.py")
    assert theirs is not None
    assert adapter.is_for(theirs)
    assert adapter_for(theirs) is adapter


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("model_id", "pattern", "name"),
    [
        ("Wan-AI/Wan2.1-T2V-14B", "diffusion*.safetensors", "wan_video_dit"),
        ("Wan-AI/Wan2.1-T2V-14B", "diffusion_pytorch_model-00001-of-00006.safetensors", "wan_video_dit"),
        ("Wan-AI/Wan2.2-T2V-A14B", "low_noise_model/diffusion_pytorch_model*.safetensors", "wan_video_dit"),
        ("DiffSynth-Studio/Wan-Series-Converted-Safetensors", "Wan2.1_VAE.safetensors", "wan_video_vae"),
        ("Qwen/Qwen-Image", "transformer/diffusion_pytorch_model*.safetensors", "qwen_image_dit"),
        ("Qwen/Qwen-Image-Edit-2509", "transformer/diffusion_pytorch_model*.safetensors", "qwen_image_dit"),
        ("Qwen/Qwen-Image", "text_encoder/model*.safetensors", None),  # corrected, and its own entry is not here
        ("Nobody/Nothing", "model.safetensors", None),
    ],
)
def test_finds_the_network_of_a_file(model_id, pattern, name):
    assert [entry["model_name"] for entry in catalogue.entries_of(model_id, pattern)] == ([name] if name else [])


@pytest.mark.usefixtures("table")
def test_finds_the_file_that_a_path_ends_with():
    path = "/data/models/Wan-AI/Wan2.1-T2V-14B/Wan2.1_VAE.pth"
    assert catalogue.name_in(path) == ("Wan-AI/Wan2.1-T2V-14B", "Wan2.1_VAE.pth")
    assert catalogue.name_in("lora.safetensors") is None


def test_makes_the_inside_small_and_leaves_the_outside():
    def network(dim: int, in_dim: int, ffn_dim: int, num_heads: int, num_layers: int, vace_layers=(0, 5), eps=1e-6):
        pass

    published = {"dim": 5120, "in_dim": 36, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}
    small = small_arguments(network, {"extra_kwargs": published})
    assert small == {
        "dim": 256,
        "in_dim": 36,
        "ffn_dim": 512,
        "num_heads": 2,
        "num_layers": 2,
        "vace_layers": (0, 1),
    }


def test_replaces_numbers_in_a_constructor(tmp_path, monkeypatch):
    (tmp_path / "made_up_network.py").write_text(
        "from torch import nn\n\n\nclass Network(nn.Module):\n    def __init__(self, blocks=19):\n"
        "        super().__init__()\n        self.blocks = [nn.Linear(3072, 64) for _ in range(blocks)]\n"
        "        self.steps = [{'layers': 3072}]\n        self.fails = 1 / (blocks - 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    numbers = {3072: 8, 19: 3, "layers": 1}
    monkeypatch.setitem(hard_coded.HARD_CODED, "made_up_network.Network", {"Network.__init__": numbers})
    hard_coded.make_small("made_up_network.Network")
    from made_up_network import Network  # type: ignore[import-not-found]

    assert [block.in_features for block in Network().blocks] == [8, 8, 8]
    assert Network().steps == [{"layers": 1}]
    with pytest.raises(ZeroDivisionError) as raised:
        Network(blocks=2)
    assert raised.traceback[-1].lineno == 8  # counted from 0: the line stays where it was
    assert inspect.signature(Network).parameters["blocks"].default == 3


def test_makes_configs_of_transformers_small():
    transformers = pytest.importorskip("transformers")
    from script_trial.adapters.studio.transformers_configs import small_configs

    config = transformers.Qwen3Config(
        hidden_size=96, num_hidden_layers=36, head_dim=128, num_attention_heads=32, vocab_size=151936,
        intermediate_size=9728, eos_token_id=151645,
    )  # fmt: skip
    with torch.device("meta"), small_configs():
        model = transformers.Qwen3Model(config)
    assert (len(model.layers), model.embed_tokens.weight.shape) == (2, (1024, 96))
    assert model.layers[0].self_attn.q_proj.weight.shape == (256, 96)
    assert config.eos_token_id < 1024
    untouched = transformers.Qwen3Config(num_hidden_layers=3, hidden_size=32, num_attention_heads=2, vocab_size=64)
    with torch.device("meta"):
        assert len(transformers.Qwen3Model(untouched).layers) == 3


@pytest.mark.parametrize(
    ("model_id", "folder", "cls"),
    [
        ("Wan-AI/Wan2.1-T2V-1.3B", "google/umt5-xxl/", "AutoTokenizer"),
        ("black-forest-labs/FLUX.1-dev", "tokenizer_2/", "T5TokenizerFast"),
        ("black-forest-labs/FLUX.1-dev", "tokenizer/", "CLIPTokenizer"),
        ("Qwen/Qwen-Image", "tokenizer/", "Qwen2Tokenizer"),
        ("Tongyi-MAI/Z-Image-Turbo", "tokenizer/", "AutoTokenizer"),
        ("google/gemma-3-12b-it-qat-q4_0-unquantized", "", "AutoTokenizer"),
    ],
)
def test_tokenizers_are_loaded_by_the_classes_that_pipelines_name(model_id, folder, cls, tmp_path):
    transformers = pytest.importorskip("transformers")
    write_tokenizer(kind_of(model_id, folder), tmp_path / "tokenizer")
    tokenizer = getattr(transformers, cls).from_pretrained(str(tmp_path / "tokenizer"))
    ids = tokenizer("A boat, 7 oars.", padding="max_length", max_length=40, truncation=True).input_ids
    assert (len(ids), max(ids) < 1024, len(set(ids)) > 8) == (40, True, True)
    if cls == "CLIPTokenizer":  # whose text encoder takes the largest id for the end of the text
        assert max(ids) == TOKEN_IDS["<|endoftext|>"] == tokenizer.eos_token_id


def test_a_chat_is_laid_out(tmp_path):
    transformers = pytest.importorskip("transformers")
    write_tokenizer(kind_of("Tongyi-MAI/Z-Image-Turbo", "tokenizer/"), tmp_path / "tokenizer")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "tokenizer"))
    chat = [{"role": "user", "content": "A boat"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True, enable_thinking=True)
    assert text == "<|im_start|>user\nA boat<|im_end|>\n<|im_start|>assistant\n"


class Pipe:
    height_division_factor = width_division_factor = 32
    time_division_factor, time_division_remainder = 8, 1


def test_changes_only_what_the_call_has():
    picture = Image.new("RGB", (640, 480))
    asked = {"height": 512, "num_frames": 121, "tile_size": (30, 52), "edit_image": [picture], "cfg_scale": 3.0}
    less = smaller_arguments(Pipe(), {**asked, "edit_image_auto_resize": True})
    assert [one.size for one in less.pop("edit_image")] == [(96, 64)]
    assert less == {"height": 64, "num_frames": 9, "tile_size": (3, 4), "edit_image_auto_resize": False}


@pytest.mark.parametrize(
    ("name", "shape", "smaller"),
    [
        ("initial_noise", (1, 128, 32, 64), (1, 128, 4, 6)),
        ("s2v_pose_latents", (1, 16, 16, 64, 128), (1, 16, 2, 8, 12)),
        ("audio_embeds", (1, 16, 16, 64), None),
        ("latents", (1, 2048, 64), None),
    ],
)
def test_noise_that_the_script_made_is_cut_to_size(name, shape, smaller):
    asked = {"height": 512, "width": 1024, "num_frames": 121, name: torch.zeros(shape)}
    less = smaller_arguments(Pipe(), asked)
    assert (tuple(less[name].shape) if name in less else None) == smaller


def test_a_call_tells_what_it_changes_and_leaves_errors_to_the_pipeline():
    recorder = Recorder()

    def call(pipe, prompt, height=1024, rand_device="cpu", num_inference_steps=8, seed=None):
        return height, rand_device, num_inference_steps, seed

    smaller = smaller_call(call, recorder)  # type: ignore[arg-type]
    assert smaller(Pipe(), "a boat", rand_device="cuda") == (64, "cuda", 2, 0)
    assert recorder.notes == [
        "height=64 instead of 1024",
        "num_inference_steps=2 instead of 8",
        "seed=0 instead of None",
    ]
    recorder.noise_on_cpu = True
    assert smaller(Pipe(), "a boat", rand_device="cuda")[1] == "cpu"
    with pytest.raises(TypeError, match="prompt"):
        smaller(Pipe())


def test_a_network_within_the_librarys_host_work_is_no_host_work():
    recorder = Recorder()
    seen: list[list[str]] = []
    marked = host_work._Marked(recorder)  # type: ignore[arg-type]
    network = marked.network_work(lambda: seen.append(list(recorder.working)))

    @marked.host_work
    def tiles() -> None:
        seen.append(list(recorder.working))
        network()
        seen.append(list(recorder.working))

    tiles()
    network()
    assert seen == [[host_work.WHY], [], [host_work.WHY], []]
    assert recorder.working == []


def test_fused_operators_on_the_host_are_as_defined():
    x, gamma = torch.randn(2, 6, 8), torch.rand(8)
    result, rstd = as_on_npu.FusedOnHost.npu_rms_norm(x, gamma, 1e-5)
    torch.testing.assert_close(result, nn.functional.rms_norm(x, (8,), gamma, 1e-5))
    assert rstd.shape == (2, 6, 1)
    angle = torch.rand(1, 6, 1, 4)
    pairs = torch.view_as_complex(torch.randn(1, 6, 2, 4, 2))
    turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)
    cos, sin = (part.repeat_interleave(2, -1) for part in (angle.cos(), angle.sin()))
    fused = as_on_npu.FusedOnHost.npu_rotary_mul(torch.view_as_real(pairs).flatten(-2), cos, sin, "interleave")
    torch.testing.assert_close(fused, turned)


def test_a_training_starts_with_the_same_numbers_whatever_was_drawn_before(monkeypatch):
    for name in ("randn", "randn_like"):
        monkeypatch.setattr(torch, name, getattr(torch, name))
    numbers = training._Numbers()
    numbers.draw_on_host()

    @numbers.seeded
    def train() -> list[float]:
        return [torch.randn(2, dtype=torch.bfloat16).sum().item(), torch.randn_like(torch.ones(3)).sum().item()]

    first = train()
    torch.randn(5), torch.rand(3)
    assert train() == first
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(torch.randn(4, generator=generator), torch.randn(4, generator=generator.manual_seed(3)))


def test_weights_are_of_the_networks_own_keys(tmp_path, monkeypatch):
    class Network(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = nn.Linear(width, 2)
            self.register_buffer("statistics", torch.arange(3.0))

    from script_trial.adapters.studio import weights

    @contextlib.contextmanager
    def on_meta() -> Iterator[None]:
        register = nn.Module.register_parameter

        def empty(module: Any, name: str, parameter: Any) -> None:
            register(module, name, None if parameter is None else nn.Parameter(parameter.to("meta")))

        monkeypatch.setattr(nn.Module, "register_parameter", empty)
        yield
        monkeypatch.setattr(nn.Module, "register_parameter", register)

    monkeypatch.setattr(weights, "studio", lambda _: SimpleNamespace(skip_model_initialization=on_meta))
    monkeypatch.setattr(weights, "_class_of", lambda _: Network)
    entry = {"model_name": "vae", "extra_kwargs": {"width": 4}}
    write_weights([entry], "identity", tmp_path / "one.safetensors")
    write_weights([entry], "identity", tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    from safetensors.torch import load_file

    state = load_file(tmp_path / "one.safetensors")
    assert sorted(state) == ["vae|layer.bias", "vae|layer.weight", "vae|statistics"]
    assert state["vae|statistics"].tolist() == [0.0, 1.0, 2.0]
    take = getattr(weights, weights._converter("vae").rpartition(".")[2])
    Network(4).load_state_dict({name: value.float() for name, value in take(state).items()})
    assert take({"encoder|layer.bias": 1, "vae|layer.bias": 2}) == {"layer.bias": 2}
