"""Made-up weights: the published layout, the same bytes for the same seed, and networks that do something with them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from diffsynth.core.loader import Checkpoint, detect
from diffsynth.families import FAMILIES, MODEL_CONFIGS
from diffsynth.families.family import Sizes, WeightFile
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.models.wan_video_text_encoder import WanTextEncoder, WanTokenizer
from diffsynth.models.wan_video_vae import WanVideoVAE
from script_trial.adapters.diffsynth_port.catalogue import MODELS, REDIRECTED_TO, UnknownModelError
from script_trial.adapters.diffsynth_port.weights import make_for_patterns, make_weights

ROOT = Path(__file__).resolve().parents[3]
SMALL, LARGE, EXPERTS = "Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.1-T2V-14B", "Wan-AI/Wan2.2-T2V-A14B"
CONVERTED = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
DIT, TEXT_ENCODER, VAE = (
    "diffusion_pytorch_model.safetensors",
    "models_t5_umt5-xxl-enc-bf16.pth",
    "Wan2.1_VAE.pth",
)
SHARDS = [f"diffusion_pytorch_model-{number:05d}-of-00006.safetensors" for number in range(1, 7)]
TOKENIZER = [f"google/umt5-xxl/{name}.json" for name in ("special_tokens_map", "tokenizer", "tokenizer_config")]
COMMON = [TEXT_ENCODER, VAE, *TOKENIZER]
SHARDED = [*SHARDS, f"{DIT}.index.json"]
TINY = Sizes(width=128, layers=1, text_width=16, text_layers=1, vae_width=2)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """All Wan models at the default sizes."""
    folder = tmp_path_factory.mktemp("models")
    for model_id in (SMALL, LARGE, EXPERTS, CONVERTED):
        make_weights(model_id, folder)
    return folder


def names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def tensors_of(paths: list[Path]) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in paths:
        tensors |= torch.load(path, weights_only=True) if path.suffix == ".pth" else load_file(path)
    return tensors


def network(model_class: type, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    with torch.device("meta"):
        model = model_class(**model_class.kwargs_from_shapes(shapes))
    file_key = getattr(model_class, "file_key", str)
    model.load_state_dict({key: tensors[file_key(key)].float() for key in model.state_dict()}, assign=True)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("model_id", "names"),
    [
        (SMALL, [DIT, *COMMON]),
        (LARGE, [*SHARDED, *COMMON]),
        (EXPERTS, [*(f"{side}_noise_model/{name}" for side in ("high", "low") for name in SHARDED), *COMMON]),
        (
            CONVERTED,
            [
                "models_t5_umt5-xxl-enc-bf16.safetensors",
                "models_clip_open-clip-xlm-roberta-large-vit-huge-14.safetensors",
                "Wan2.1_VAE.safetensors",
                "Wan2.2_VAE.safetensors",
            ],
        ),
    ],
)
def test_files_are_named_as_published(tree, model_id, names):
    assert names_below(tree / model_id) == sorted(names)


def test_the_files_of_every_wan_model_hold_the_networks_that_the_record_names(tmp_path):
    models = next(family.models for family in FAMILIES if SMALL in family.models)
    assert {SMALL, LARGE, EXPERTS, CONVERTED} < set(models) <= set(MODELS)
    assert set(REDIRECTED_TO) >= set(models) - {CONVERTED, "krea/krea-realtime-video"}
    for model_id, entries in models.items():
        for entry in entries:
            if isinstance(entry, WeightFile) and entry.network.name not in ("wan_video_text_encoder", "wan_video_vae"):
                paths = make_for_patterns(model_id, entry.name.replace(".saf", "*.saf"), tmp_path, sizes=TINY)
                files = [str(path) for path in paths if path.suffix != ".json"]
                found = detect(Checkpoint(files), MODEL_CONFIGS)
                expected = [network.name for network in (entry.network, *entry.beside)]
                assert sorted(one.model_name for one in found) == sorted(expected), (model_id, entry.name)
                dit = next(one for one in found if one.model_name == entry.network.name)
                assert {name: dit.kwargs[name] for name in entry.kwargs} == entry.kwargs


@pytest.mark.parametrize(
    ("pattern", "model_class"), [("*.safetensors", WanModel), (TEXT_ENCODER, WanTextEncoder), (VAE, WanVideoVAE)]
)
def test_each_file_is_recognised_as_its_network_alone(tree, pattern, model_class):
    keys = tensors_of(sorted((tree / LARGE).glob(pattern))).keys()
    assert [one for one in (WanModel, WanTextEncoder, WanVideoVAE) if one.recognises(keys)] == [model_class]


def test_the_loader_reads_every_checkpoint(tree):
    from diffsynth.core.loader import Checkpoint, build_on_meta, detect, fill
    from diffsynth.families import MODEL_CONFIGS

    for folder, pattern, expected in [
        (SMALL, DIT, "wan_video_dit"),
        (f"{EXPERTS}/low_noise_model", "*.safetensors", "wan_video_dit"),
        (LARGE, TEXT_ENCODER, "wan_video_text_encoder"),
        (CONVERTED, "models_t5*", "wan_video_text_encoder"),
        (CONVERTED, "Wan2.1_VAE*", "wan_video_vae"),
    ]:
        source = Checkpoint(sorted((tree / folder).glob(pattern)))
        (entry,) = detect(source, MODEL_CONFIGS)
        assert entry.model_name == expected
        model = build_on_meta(entry)
        fill(model, source, entry.key_map(model), dtype=torch.float32, device="cpu")
        assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_the_index_says_where_each_key_is(tree):
    index = json.loads((tree / LARGE / f"{DIT}.index.json").read_text())
    shards = {name: load_file(tree / LARGE / name) for name in SHARDS}
    assert index["weight_map"] == {key: name for name, tensors in shards.items() for key in tensors}
    assert index["metadata"]["total_size"] == sum(one.nbytes for tensors in shards.values() for one in tensors.values())


def test_files_hold_the_published_types_unless_told_otherwise(tree, tmp_path):
    def types(folder: Path, name: str) -> set[torch.dtype]:
        return {tensor.dtype for tensor in tensors_of([folder / SMALL / name]).values()}

    assert [types(tree, name) for name in (DIT, TEXT_ENCODER, VAE)] == [
        {torch.float32},
        {torch.bfloat16},
        {torch.float32},
    ]
    for dtype in ("float16", torch.float16):
        make_weights(SMALL, tmp_path, sizes=TINY, dtype=dtype)
        assert all(types(tmp_path, name) == {torch.float16} for name in (DIT, TEXT_ENCODER, VAE))


def test_a_set_is_small(tree):
    assert sum(path.stat().st_size for path in (tree / SMALL).rglob("*") if path.is_file()) < 20e6


def test_sizes_are_those_asked_for(tmp_path):
    make_weights(SMALL, tmp_path, sizes=Sizes(width=384, layers=3, text_width=48, text_layers=1, vae_width=4))
    found = {
        model_class: model_class.kwargs_from_shapes(
            {key: tuple(tensor.shape) for key, tensor in tensors_of([tmp_path / SMALL / name]).items()}
        )
        for name, model_class in ((DIT, WanModel), (TEXT_ENCODER, WanTextEncoder), (VAE, WanVideoVAE))
    }
    dit, text_encoder = found[WanModel], found[WanTextEncoder]
    assert (dit["dim"], dit["num_heads"], dit["num_layers"], dit["text_dim"]) == (384, 3, 3, 48)
    assert (text_encoder["dim"], text_encoder["num_layers"]) == (48, 1)
    assert found[WanVideoVAE]["dim"] == 4


def test_equal_seeds_give_equal_bytes_in_another_process(tree, tmp_path):
    code = (
        "import sys; from script_trial.adapters.diffsynth_port.weights import make_weights\n"
        "for model_id in sys.argv[2:]: make_weights(model_id, sys.argv[1])"
    )
    env = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "7"}
    models = [EXPERTS, CONVERTED]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *models], cwd=ROOT, env=env, check=True)
    for name in names_below(tmp_path):
        first, second = ((folder / name).read_bytes() for folder in (tree, tmp_path))
        assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest(), name


def test_another_seed_gives_other_values(tree, tmp_path):
    make_weights(SMALL, tmp_path, seed=1)
    for name in (DIT, TEXT_ENCODER, VAE):
        first, second = (tensors_of([folder / SMALL / name]) for folder in (tree, tmp_path))
        assert not any(torch.equal(first[key], second[key]) for key in first)


def test_shared_files_hold_the_same_values_and_dits_do_not(tree):
    for pth, converted in ((TEXT_ENCODER, "models_t5_umt5-xxl-enc-bf16.safetensors"), (VAE, "Wan2.1_VAE.safetensors")):
        first, second = tensors_of([tree / EXPERTS / pth]), tensors_of([tree / CONVERTED / converted])
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    high, low = (
        tensors_of(sorted((tree / EXPERTS / f"{side}_noise_model").glob("*.safetensors"))) for side in ("high", "low")
    )
    assert high.keys() == low.keys()
    assert not any(torch.equal(high[key], low[key]) for key in high)


def test_what_the_networks_make_of_the_weights_is_not_degenerate(tree):
    """Prompt, noise and step all show in the result, no value runs away, and no two frames are equal."""
    folder = tree / SMALL
    dit, vae = network(WanModel, tensors_of([folder / DIT])), network(WanVideoVAE, tensors_of([folder / VAE]))
    text_encoder = network(WanTextEncoder, tensors_of([folder / TEXT_ENCODER]))
    features = text_encoder(*WanTokenizer(folder / "google/umt5-xxl")(["夜晚的老城小巷", "A boat on a red river"]))
    assert 0.3 < features[0, :5].std() < 3
    latents = torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1, -1)
    velocity = dit(latents, torch.tensor([900.0, 900.0]), features)
    later = dit(latents, torch.tensor([300.0, 300.0]), features)
    assert 0.3 < velocity.std() < 5
    assert (velocity[0] - velocity[1]).std() > 0.01
    assert (velocity - later).std() > 0.1
    video = vae.decode(latents[:1] - velocity[:1])
    assert video.shape == (1, 3, 5, 32, 48)
    assert 0.1 < video.std() < 0.9
    assert (video.abs() == 1).float().mean() < 0.3
    assert all((video[:, :, frame] - video[:, :, frame + 1]).std() > 0.01 for frame in range(4))
    assert 0.05 < vae.encode(video).std() < 5


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("diffusion_pytorch_model*.safetensors", SHARDED),
        (TEXT_ENCODER, [TEXT_ENCODER]),
        ("google/umt5-xxl/", TOKENIZER),
        ("google/", TOKENIZER),
        ([VAE, "models_t5*"], [VAE, TEXT_ENCODER]),
        (SHARDS[2], SHARDED),
        (None, [*SHARDED, *COMMON]),
        ("", [*SHARDED, *COMMON]),
        ("./", [*SHARDED, *COMMON]),
    ],
)
def test_only_what_a_pattern_asks_for(tmp_path, pattern, names):
    paths = make_for_patterns(LARGE, pattern, tmp_path, sizes=TINY)
    assert names_below(tmp_path / LARGE) == sorted(names)
    assert sorted(paths) == sorted(tmp_path / LARGE / name for name in names)


@pytest.mark.parametrize("pattern", ["*.bin", "umt5-xxl/", "high_noise_model/*.safetensors"])
def test_a_pattern_that_matches_nothing(tmp_path, pattern):
    with pytest.raises(ValueError, match=r"matches no file of Wan-AI/Wan2\.1-T2V-1\.3B; it has .*Wan2\.1_VAE\.pth"):
        make_for_patterns(SMALL, pattern, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_star_stops_at_a_slash(tmp_path):
    with pytest.raises(ValueError, match="matches no file"):
        make_for_patterns(EXPERTS, "*.safetensors", tmp_path)


def test_an_unknown_model(tmp_path):
    with pytest.raises(UnknownModelError, match=r"no made-up weights for 'Wan-AI/Wan9'; known are Qwen/Qwen-Image"):
        make_weights("Wan-AI/Wan9", tmp_path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 200}, "width must be a multiple of 128, not 200"),
        ({"width": 0}, "width must be a multiple of 128, not 0"),
        ({"head_dim": 48}, "head_dim must be a multiple of 32, not 48"),
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"text_width": 40}, "text_width must be a multiple of 16, not 40"),
        ({"vae_width": 3}, "vae_width must be a multiple of 2, not 3"),
    ],
)
def test_sizes_that_no_network_can_have(sizes, message):
    with pytest.raises(ValueError, match=message):
        Sizes(**sizes)


def test_a_type_that_no_file_holds(tmp_path):
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16, not 'int8'"):
        make_weights(SMALL, tmp_path, dtype="int8")


def test_a_different_file_in_the_way_stays(tmp_path):
    target = tmp_path / SMALL / VAE
    target.parent.mkdir(parents=True)
    target.write_bytes(b"a real one")
    with pytest.raises(FileExistsError, match=r"Wan2\.1_VAE\.pth is already there and differs.*--force"):
        make_for_patterns(SMALL, VAE, tmp_path, sizes=TINY)
    assert target.read_bytes() == b"a real one"
    assert names_below(tmp_path / SMALL) == [VAE]
    make_for_patterns(SMALL, VAE, tmp_path, sizes=TINY, force=True)
    assert WanVideoVAE.recognises(tensors_of([target]).keys())


def test_an_equal_file_is_left_alone(tmp_path):
    (path,) = make_for_patterns(SMALL, VAE, tmp_path, sizes=TINY)
    before = path.stat()
    assert make_for_patterns(SMALL, VAE, tmp_path, sizes=TINY, force=True) == [path]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(tensors, path, *, suffix):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr("script_trial.adapters.diffsynth_port.weights.write_tensors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_for_patterns(SMALL, VAE, tmp_path, sizes=TINY)
    assert names_below(tmp_path) == []
