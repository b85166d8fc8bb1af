"""The text encoder against transformers' own model, on the same small random weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffsynth.core.loader import model_hash
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
from tests.machine import needs_emulator

ROOT = Path(__file__).resolve().parents[3]
SIZES = {"vocab_size": 300, "dim": 48, "dim_attn": 64, "dim_ffn": 80, "num_heads": 4, "num_layers": 2}
LENGTHS = (7, 1, 90)


@pytest.fixture(scope="module")
def encoder() -> WanTextEncoder:
    torch.manual_seed(0)
    encoder = WanTextEncoder(**SIZES).eval().requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "relative_attention_bias" in name:
            parameter.normal_()  # transformers starts it near zero, where an error would not show
    return encoder


@pytest.fixture(scope="module")
def prompts() -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of three prompts of LENGTHS tokens in 512."""
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(512) < torch.tensor(LENGTHS).unsqueeze(1)).long()
    ids = torch.randint(2, SIZES["vocab_size"], (len(LENGTHS), 512), generator=generator) * mask
    return ids, mask


def on_meta(**sizes: int) -> WanTextEncoder:
    """As a loader builds it. (With gradients torch takes another attention kernel, and the bits differ.)"""
    with torch.device("meta"):
        return WanTextEncoder(**sizes).eval().requires_grad_(False)


def in_bfloat16(encoder: WanTextEncoder) -> WanTextEncoder:
    half = on_meta(**SIZES)
    half.load_state_dict({key: value.bfloat16() for key, value in encoder.state_dict().items()}, assign=True)
    return half


def file_shapes(encoder: WanTextEncoder) -> dict[str, tuple[int, ...]]:
    return {encoder.file_key(key): tuple(value.shape) for key, value in encoder.state_dict().items()}


def test_it_agrees_with_transformers_where_the_prompt_is(encoder, prompts):
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(vocab_size=300, d_model=48, d_kv=16, d_ff=80, num_heads=4, num_layers=2)
    peer = UMT5EncoderModel(config).eval()
    peer.load_state_dict(encoder.state_dict() | {"shared.weight": encoder.state_dict()["encoder.embed_tokens.weight"]})
    ids, mask = prompts
    with torch.no_grad():
        expected = peer(input_ids=ids, attention_mask=mask).last_hidden_state
    found = encoder(ids, mask)
    assert found.shape == (3, 512, 48)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(found[row, :length], expected[row, :length], rtol=0, atol=1e-5)
    assert 0.5 < found[0, :7].std() < 2  # else the bound above says nothing


def test_it_is_zero_beyond_the_prompt(encoder, prompts):
    found = encoder(*prompts)
    for row, length in enumerate(LENGTHS):
        assert not found[row, length:].any()
        assert found[row, :length].any(dim=-1).all()


def test_what_stands_beyond_the_prompt_does_not_matter(encoder, prompts):
    ids, mask = prompts
    assert torch.equal(encoder(ids, mask), encoder(torch.where(mask > 0, ids, 5), mask))


def test_a_prompt_of_full_length_and_one_without_any_token(encoder, prompts):
    ids, _ = prompts
    mask = torch.zeros_like(ids)
    mask[1] = 1
    found = encoder(ids, mask)
    assert found.isfinite().all()
    assert found[1].any(dim=-1).all()
    assert not found[[0, 2]].any()
    assert not encoder(ids, torch.zeros_like(ids)).any()


def test_bfloat16_weights_give_bfloat16_features(encoder, prompts):
    found = in_bfloat16(encoder)(*prompts)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), encoder(*prompts), rtol=0, atol=0.1)


def test_names_and_shapes_of_the_published_file():
    """At its real size it fits models_t5_umt5-xxl-enc-bf16, of which this is the hash."""
    encoder = on_meta()
    published = {encoder.file_key(key): value for key, value in encoder.state_dict().items()}
    assert len(published) == 242
    assert model_hash(published) == "9c8818c2cbea55eca56c7b447df170da"


def test_nothing_is_left_on_meta_once_the_parameters_are_there(encoder):
    built = on_meta(**SIZES)
    assert not dict(built.named_buffers())
    assert len(built.state_dict()) == len(list(built.parameters())) == len({id(one) for one in built.parameters()})
    built.load_state_dict(encoder.state_dict(), assign=True)
    assert not any(parameter.is_meta for parameter in built.parameters())


def test_sizes_are_read_from_the_shapes():
    sizes = {**SIZES, "num_buckets": 16}
    shapes = file_shapes(on_meta(**sizes))
    assert WanTextEncoder.recognises(shapes.keys())
    assert WanTextEncoder.kwargs_from_shapes(shapes) == sizes


@pytest.mark.parametrize("missing", ["token_embedding.weight", "blocks.0.pos_embedding.embedding.weight"])
def test_a_file_without_its_telling_keys_is_another_model(missing):
    assert not WanTextEncoder.recognises(file_shapes(on_meta(**SIZES)).keys() - {missing})


@pytest.mark.parametrize("key", ["encoder.embed_tokens.bias", "embed_tokens.weight", "encoder.block.x.layer.0.q"])
def test_a_key_it_does_not_have(key):
    with pytest.raises(KeyError, match=key):
        WanTextEncoder.file_key(key)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="dim_attn=64 is not a multiple of num_heads=5"):
        on_meta(**{**SIZES, "num_heads": 5})


def test_parameters_need_to_be_there_only_during_their_own_blocks_forward(encoder, prompts):
    """A block, and each small module beside the blocks, is on meta except while it runs."""
    expected = encoder(*prompts)
    state = encoder.state_dict()
    absent = on_meta(**SIZES)
    units = {f"encoder.block.{number}": block for number, block in enumerate(absent.encoder.block)}
    units |= {f"encoder.{name}": getattr(absent.encoder, name) for name in ("embed_tokens", "final_layer_norm")}
    ran = []
    for prefix, unit in units.items():
        held = {key.removeprefix(f"{prefix}."): state[key] for key in state if key.startswith(f"{prefix}.")}

        def load(unit, *_, held=held, prefix=prefix):
            unit.load_state_dict(held, assign=True)
            ran.append(prefix)

        unit.register_forward_pre_hook(load)
        unit.register_forward_hook(lambda unit, *_: unit.to("meta") and None)
    assert torch.equal(absent(*prompts), expected)
    assert sorted(ran) == sorted(units)
    assert all(parameter.is_meta for parameter in absent.parameters())


ON_NPU = """
import sys, torch
from diffsynth.models.wan_video_text_encoder import WanTextEncoder
sizes, state, ids, mask, expected = torch.load(sys.argv[1], weights_only=True)
encoder = WanTextEncoder(**sizes).eval().requires_grad_(False)
encoder.load_state_dict(state)
for dtype in (torch.float32, torch.bfloat16):
    found = encoder.to("npu", dtype)(ids.npu(), mask.npu())
    assert found.device.type == "npu" and found.dtype == dtype
    assert torch.equal(found.cpu(), expected[str(dtype)]), dtype
"""


@needs_emulator
def test_the_emulated_npu_gives_the_same_bits(encoder, prompts, tmp_path):
    expected = {"torch.float32": encoder(*prompts), "torch.bfloat16": in_bfloat16(encoder)(*prompts)}
    torch.save((SIZES, encoder.state_dict(), *prompts, expected), tmp_path / "case.pt")
    (tmp_path / "program.py").write_text(ON_NPU)
    run = subprocess.run(
        [sys.executable, "-m", "npu_emulator", "run", str(tmp_path / "program.py"), str(tmp_path / "case.pt")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_importing_the_module_does_not_import_transformers():
    code = "import sys, diffsynth.models.wan_video_text_encoder; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
