"""The text encoder against transformers' own model, on the same small random weights; its prompts; its file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from diffsynth.core.loader.detection import model_hash
from diffsynth.families.qwen_image import without_language_head
from diffsynth.models.qwen_image_text_encoder import (
    LENGTH,
    PICTURE,
    QwenImageProcessor,
    QwenImageTextEncoder,
    QwenImageTokenizer,
    edit_inputs,
    text_inputs,
)
from script_trial.small.tokenizer_files import FILES, MOST_TOKENS
from tests.diffsynth.pipelines.qwen_oracle import TextEncoder

SIZES = {
    "vocab_size": MOST_TOKENS,
    "dim": 256,
    "dim_ffn": 96,
    "num_layers": 2,
    "num_kv_heads": 1,
    "vision_dim": 160,
    "vision_dim_ffn": 64,
    "vision_layers": 9,  # the eighth attends to all of a picture, the others within windows
    "patch_size": 14,
}
CPU = torch.device("cpu")


def folder_of(files, path: Path) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(FILES["qwen_processor"], tmp_path_factory.mktemp("processor"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    return QwenImageTokenizer(folder)


@pytest.fixture(scope="module")
def processor(folder):
    return QwenImageProcessor(folder)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = QwenImageTextEncoder(**SIZES).eval().requires_grad_(False)
    for parameter in encoder.parameters():  # not transformers' start, near zero, where an error would not show
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
        else:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
    encoder.model.language_model.embed_tokens.weight.normal_()
    return encoder


def colours(*sizes):
    generator = torch.Generator().manual_seed(5)
    pixels = [torch.randint(0, 256, (height, width, 3), generator=generator) for width, height in sizes]
    return [Image.fromarray(one.to(torch.uint8).numpy()) for one in pixels]


def prompts(tokenizer, processor):
    return {
        "text": text_inputs(tokenizer, "a cat & 一只小猫"),
        "one picture": edit_inputs(tokenizer, processor, "make it red", colours((200, 150)), numbered=False),
        "three": edit_inputs(tokenizer, processor, "", colours((64, 64), (300, 60), (90, 140)), numbered=True),
    }


@pytest.mark.parametrize("which", ["text", "one picture", "three"])
def test_it_agrees_with_transformers(encoder, tokenizer, processor, which):
    given = prompts(tokenizer, processor)[which]
    peer = TextEncoder(encoder, tokenizer.picture_id)
    seen = {} if given.pixels is None else {"pixel_values": given.pixels, "image_grid_thw": given.grids}
    mask = torch.ones_like(given.ids)
    expected = peer(given.ids, attention_mask=mask, output_hidden_states=True, **seen).hidden_states[-1]
    found = encoder(*given.arguments(CPU))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert 0.5 < found.std() < 2  # else the bound above says nothing


def test_pictures_and_places_count(encoder, tokenizer, processor):
    given = prompts(tokenizer, processor)["three"]
    found = encoder(*given.arguments(CPU))
    ids, positions, is_picture, pixels, grids = given.arguments(CPU)
    in_a_row = torch.arange(ids.shape[1]).expand(3, 1, -1)
    assert (encoder(ids, in_a_row, is_picture, pixels, grids) - found).abs().max() > 1e-2
    assert (encoder(ids, positions, is_picture, pixels.flip(0), grids) - found).abs().max() > 1e-2


def test_bfloat16_weights_give_bfloat16_features(encoder, tokenizer, processor):
    half = on_meta(**SIZES)
    half.load_state_dict({key: value.bfloat16() for key, value in encoder.state_dict().items()}, assign=True)
    given = prompts(tokenizer, processor)["one picture"].arguments(CPU)
    found = half(*given)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), encoder(*given), rtol=0, atol=0.3)


def on_meta(**sizes):
    with torch.device("meta"):
        return QwenImageTextEncoder(**sizes).eval().requires_grad_(False)


def file_shapes(encoder):
    return {encoder.file_key(key): tuple(value.shape) for key, value in encoder.state_dict().items()}


def test_names_and_shapes_of_the_published_file():
    encoder = on_meta()
    published = {encoder.file_key(key): value for key, value in encoder.state_dict().items()}
    names = {"lm_head.weight": torch.empty(152064, 3584, device="meta"), **published}
    assert len(names) == 729
    assert model_hash(names) == "8004730443f55db63092006dd9f7110e"
    assert sum(value.numel() for value in names.values()) == 8_292_166_656
    assert without_language_head(names).keys() == published.keys()


def test_sizes_are_read_from_the_shapes():
    shapes = file_shapes(on_meta(**SIZES))
    assert QwenImageTextEncoder.recognises(shapes.keys())
    assert QwenImageTextEncoder.kwargs_from_shapes(shapes) == SIZES
    assert not QwenImageTextEncoder.recognises({key for key in shapes if not key.startswith("visual.")})


def test_a_width_without_whole_heads_is_an_error():
    shapes = file_shapes(on_meta(**SIZES)) | {"model.embed_tokens.weight": (100, 200)}
    with pytest.raises(ValueError, match=r"embed_tokens\.weight has width 200, expected a multiple of 128"):
        QwenImageTextEncoder.kwargs_from_shapes(shapes)


def test_nothing_is_left_on_meta_once_the_parameters_are_there(encoder, tokenizer):
    built = on_meta(**SIZES)
    assert not dict(built.named_buffers())
    built.load_state_dict(encoder.state_dict(), assign=True)
    given = text_inputs(tokenizer, "a cat").arguments(CPU)
    assert torch.equal(built(*given), encoder(*given))


def test_a_key_of_another_network():
    with pytest.raises(KeyError):
        QwenImageTextEncoder.file_key("lm_head.weight")


# Prompts


def test_places_are_those_of_transformers(encoder, tokenizer, processor):
    given = prompts(tokenizer, processor)["three"]
    expected, _ = encoder.model.get_rope_index(given.ids, given.is_picture.int(), image_grid_thw=given.grids)
    assert torch.equal(given.positions, expected)


def test_pictures_are_numbered_and_come_first(tokenizer, processor):
    given = edit_inputs(tokenizer, processor, "swap them", colours((64, 64), (64, 64)), numbered=True)
    text = tokenizer._tokenizer.decode(given.ids[0])
    pieces = re.escape(PICTURE)
    shown = rf"<\|vision_start\|>({pieces})+<\|vision_end\|>"
    assert re.search(rf"user\nPicture 1: {shown}Picture 2: {shown}swap them<\|im_end\|>\n<\|im_start\|>assist", text)
    alone = edit_inputs(tokenizer, processor, "", colours((64, 64)), numbered=False)
    assert "Picture" not in tokenizer._tokenizer.decode(alone.ids[0])


def test_a_long_prompt_is_cut(tokenizer):
    with pytest.warns(UserWarning, match=r"tokens more than the text encoder takes \(4096\): its end is cut off"):
        assert text_inputs(tokenizer, "x1 " * 5000).ids.shape == (1, LENGTH + 34)


def test_too_many_pictures(tokenizer, processor):
    with pytest.raises(
        ValueError, match=r"the pictures to edit take 5\d+ tokens of the text encoder, and a prompt has"
    ):
        edit_inputs(tokenizer, processor, "", colours((2000, 2000)), numbered=True)


def test_a_prompt_that_names_the_token_of_a_picture(tokenizer, processor):
    with pytest.raises(ValueError, match=r"names <\|image_pad\|> itself"):
        edit_inputs(tokenizer, processor, PICTURE, colours((64, 64)), numbered=True)


@pytest.mark.parametrize("kind", ["nowhere", "empty", "a file"])
def test_a_folder_without_a_tokenizer(tmp_path, kind):
    path = tmp_path / "tokenizer"
    {"nowhere": lambda: None, "empty": path.mkdir, "a file": path.touch}[kind]()
    with pytest.raises(FileNotFoundError, match=re.escape(f"no tokenizer in {path}")):
        QwenImageTokenizer(path)


def test_a_tokenizer_of_another_model(tmp_path):
    files = {name: text for name, text in FILES["qwen"].items() if name in ("vocab.json", "merges.txt")}
    with pytest.raises(ValueError, match=r"has no token <\|image_pad\|>: it is not that of a Qwen-Image model"):
        QwenImageTokenizer(folder_of(files, tmp_path))


def test_a_broken_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no tokenizer of Qwen-Image"):
        QwenImageTokenizer(tmp_path)


def test_a_folder_without_a_processor(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder has no preprocessor_config\.json"):
        QwenImageProcessor(tmp_path)


def test_it_is_built_whole_where_a_training_is_by_zero3(monkeypatch):
    monkeypatch.setattr("transformers.modeling_utils.is_deepspeed_zero3_enabled", lambda: True)
    assert {parameter.device.type for parameter in on_meta().parameters()} == {"meta"}
