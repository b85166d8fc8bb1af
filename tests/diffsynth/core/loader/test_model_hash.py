"""The fingerprint agrees with the published ones."""

from __future__ import annotations

import hashlib

import pytest
import torch

from diffsynth.core.loader import TensorHeader, model_hash


def header(*shape: int) -> TensorHeader:
    return TensorHeader(shape, torch.bfloat16)


def linear(name: str, rows: int, columns: int) -> dict[str, TensorHeader]:
    return {f"{name}.weight": header(rows, columns), f"{name}.bias": header(rows)}


def dit(dim: int, ffn: int, layers: int) -> dict[str, TensorHeader]:
    """Names and shapes of the published Wan2.1 text-to-video files."""
    headers = {
        "patch_embedding.weight": header(dim, 16, 1, 2, 2),
        "patch_embedding.bias": header(dim),
        **linear("text_embedding.0", dim, 4096),
        **linear("text_embedding.2", dim, dim),
        **linear("time_embedding.0", dim, 256),
        **linear("time_embedding.2", dim, dim),
        **linear("time_projection.1", 6 * dim, dim),
        "head.modulation": header(1, 2, dim),
        **linear("head.head", 64, dim),
    }
    for block in (f"blocks.{number}" for number in range(layers)):
        headers[f"{block}.modulation"] = header(1, 6, dim)
        for attention in (f"{block}.self_attn", f"{block}.cross_attn"):
            for name in "qkvo":
                headers |= linear(f"{attention}.{name}", dim, dim)
            headers |= {f"{attention}.norm_q.weight": header(dim), f"{attention}.norm_k.weight": header(dim)}
        headers |= {f"{block}.norm3.weight": header(dim), f"{block}.norm3.bias": header(dim)}
        headers |= linear(f"{block}.ffn.0", ffn, dim) | linear(f"{block}.ffn.2", dim, ffn)
    return headers


def below(prefix: str, headers: dict[str, TensorHeader]) -> dict[str, TensorHeader]:
    return {prefix + key: value for key, value in headers.items()}


@pytest.mark.parametrize(
    ("headers", "tensors", "expected"),
    [
        (dit(1536, 8960, 30), 825, "9269f8db9040a9d860eaca435be61814"),
        (dit(5120, 13824, 40), 1095, "aafcfd9672c3a2456dc46e1cb6e52c70"),
        (below("model.", dit(5120, 13824, 40)), 1095, "5ec04e02b42d2580483ad69f4e76346a"),
    ],
    ids=["1.3B", "14B", "14B with a prefix"],
)
def test_published_files(headers: dict[str, TensorHeader], tensors: int, expected: str) -> None:
    assert len(headers) == tensors
    assert model_hash(headers) == expected
    assert model_hash(dict(reversed(headers.items()))) == expected


def test_nested_dicts_scalars_and_what_is_no_tensor() -> None:
    nested = {"b": header(2, 3), "a": {"y": header(), "x": header(4)}, "epoch": 7, 5: header(1)}
    assert model_hash(nested) == hashlib.md5(b"a|x,x:4,y,y:,b,b:2_3").hexdigest()


def test_values_and_types_do_not_count() -> None:
    assert model_hash({"w": torch.zeros(2, 3)}) == model_hash({"w": header(2, 3)})
    assert model_hash({"w": header(2, 3)}) != model_hash({"w": header(3, 2)})
