"""Every weight is where it belongs, once, in the type asked for; a file that does not fit is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from diffsynth.core.loader import Checkpoint, CheckpointError, DictSource, build_on_meta, detect, fill
from diffsynth.families import MODEL_CONFIGS
from diffsynth.models.wan_video_dit import WanModel

ROOT = Path(__file__).parents[4]


class Example(nn.Module):
    """Tied weights, a saved buffer, and one tensor that is no floating-point number."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.output = nn.Linear(4, 6, bias=False)
        self.output.weight = self.embedding.weight
        self.position = nn.Parameter(torch.zeros(()))


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Example().eval()


def test_building_draws_no_values_and_imports_no_compiler() -> None:
    program = (
        "import sys; from diffsynth.core.loader import ModelEntry, build_on_meta; "
        "model = build_on_meta(ModelEntry('x', 'torch.nn.Embedding', {'num_embeddings': 4, 'embedding_dim': 2})); "
        "assert model.weight.is_meta; assert 'sympy' not in sys.modules, 'drawn'"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def weights_of_example() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = Example()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.state_dict()


def identity(source: DictSource | Checkpoint) -> dict[str, str]:
    return {key: key for key in source.headers}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_from_its_file(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    original = WanModel(dim=256, ffn_dim=96, num_heads=2, num_layers=2).state_dict()
    path = tmp_path / f"dit.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(original, path)
    source = Checkpoint(path)
    (entry,) = detect(source, MODEL_CONFIGS)
    model = build_on_meta(entry)
    fill(model, source, entry.key_map(model), dtype=dtype, device="cpu")
    path.unlink()
    filled = model.state_dict()
    assert filled.keys() == original.keys()
    assert all(torch.equal(filled[key], value.to(dtype)) for key, value in original.items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_tied_weights_stay_one_and_integers_keep_their_type() -> None:
    weights = weights_of_example()
    model = on_meta()
    fill(model, DictSource(weights), identity(DictSource(weights)), dtype=torch.bfloat16, device="cpu")
    assert model.output.weight is model.embedding.weight
    assert torch.equal(model.output.weight, weights["embedding.weight"].bfloat16())
    assert model.norm.running_mean.dtype == torch.bfloat16
    assert model.norm.num_batches_tracked.dtype == torch.int64
    assert not any(tensor.is_meta for tensor in model.state_dict().values())


def test_each_weight_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    source = DictSource(weights_of_example())
    monkeypatch.setattr(source, "read_into", lambda key, out: read.append(key))
    fill(on_meta(), source, identity(source), dtype=None, device="cpu")
    assert sorted(read) == sorted(set(source.headers) - {"output.weight"})


def test_a_module_of_two_names_is_filled_once_by_a_file_of_both_or_of_one() -> None:
    values = {"first.weight": torch.eye(2), "first.bias": torch.ones(2)}
    both = {**values, **{key.replace("first", "second"): value for key, value in values.items()}}
    for file in (values, both):
        with torch.device("meta"):
            first = nn.Linear(2, 2)
            model = nn.ModuleDict({"first": first, "second": first}).eval()
        fill(model, DictSource(file), {key: key for key in file}, dtype=None, device="cpu")
        assert first.bias.equal(values["first.bias"])
        assert model.state_dict().keys() == both.keys()


def test_one_name_of_tied_weights_is_enough() -> None:
    weights = weights_of_example()
    del weights["embedding.weight"]
    source, model = DictSource(weights), on_meta()
    fill(model, source, {key: key for key in model.state_dict()}, dtype=None, device="cpu")
    assert model.embedding.weight is model.output.weight
    assert torch.equal(model.embedding.weight, weights["output.weight"])


def test_the_weights_are_not_those_of_the_source() -> None:
    weights = weights_of_example()
    source, model = DictSource(weights), on_meta()
    fill(model, source, identity(source), dtype=None, device="cpu")
    model.position.data.fill_(7)
    assert weights["position"] != 7


def test_missing_and_surplus_tensors_are_named_and_nothing_is_changed() -> None:
    weights = weights_of_example()
    weights["position_bias"] = weights.pop("position")
    source, model = DictSource(weights, name="half.safetensors"), on_meta()
    expected = (
        r"half\.safetensors lacks 1 tensors of Example: position and has 1 tensors that Example has not: position_bias"
    )
    with pytest.raises(CheckpointError, match=expected):
        fill(model, source, identity(source), dtype=None, device="cpu")
    assert all(parameter.is_meta for parameter in model.parameters())


def test_another_shape_is_named_with_both() -> None:
    weights = weights_of_example()
    weights["norm.weight"] = torch.zeros(5)
    source = DictSource(weights, name="wide.pth")
    with pytest.raises(CheckpointError, match=r"wide\.pth: 'norm\.weight' is \(5,\), and Example takes \(4,\)"):
        fill(on_meta(), source, identity(source), dtype=None, device="cpu")


def test_a_buffer_that_no_file_has() -> None:
    model = on_meta()
    model.register_buffer("table", torch.zeros(3, device="meta"), persistent=False)
    source = DictSource(weights_of_example())
    with pytest.raises(ValueError, match="Example makes 'table' when it is built, and no file has it"):
        fill(model, source, identity(source), dtype=None, device="cpu")


def test_a_bar_on_a_terminal_and_nothing_in_a_pipe(capfd: pytest.CaptureFixture[str]) -> None:
    source = DictSource(weights_of_example())
    fill(on_meta(), source, identity(source), dtype=None, device="cpu")
    assert capfd.readouterr() == ("", "")
