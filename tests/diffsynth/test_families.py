"""The records of the model families: what they name is there, and nothing is told twice."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import torch

from diffsynth.core.loader.detection import load_object, model_hash
from diffsynth.diffusion.training.run_task import family_parser
from diffsynth.families import FAMILIES, MODEL_CONFIGS
from diffsynth.families.family import Family, Network, Published, Sizes, WeightFile
from script_trial.adapters.diffsynth_port.catalogue import file_names
from script_trial.small.tokenizer_files import MOST_TOKENS

NETWORKS = [network for family in FAMILIES for network in family.networks]
of_each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
of_each_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)


def test_the_records_import_neither_torch_nor_transformers() -> None:
    program = "import sys, diffsynth.families; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_no_two_rows_are_the_same() -> None:
    told = [(row["model_hash"], row["model_name"]) for row in MODEL_CONFIGS]
    assert len(set(told)) == len(told)


@of_each_family
def test_what_a_record_names_is_there(family: Family) -> None:
    pipeline = load_object(family.pipeline)
    assert pipeline.family is family
    assert family.makes in ("image", "video")
    for path in (folder.reader for folder in family.folders):
        load_object(path)
    for folder in family.folders:
        assert folder.needed_by is None or folder.needed_by in family.attributes
        assert folder.instead is None or folder.instead in {other.keyword for other in family.folders}
    for network in family.networks:
        for attribute in network.attributes:
            assert attribute in pipeline.__annotations__, f"{family.pipeline} does not say what its {attribute} is"
            assert attribute in family.network_at(attribute).attributes


@of_each_family
def test_its_models_are_of_its_networks(family: Family) -> None:
    for model_id, entries in family.models.items():
        files = [name for entry in entries for name in file_names(entry)]
        assert len(set(files)) == len(files), model_id
        assert all(entry.network in family.networks for entry in entries if isinstance(entry, WeightFile))


def test_made_up_text_encoders_know_all_tokens() -> None:
    assert Sizes().vocab_size >= MOST_TOKENS


@of_each_family
def test_what_a_record_says_of_training(family: Family) -> None:
    pytest.importorskip("transformers")
    adapter = load_object(family.training)
    assert set(family.trained) <= set(family.attributes)
    levels = load_object(family.levels)(3, start=1.0)
    assert levels.dtype == torch.float32
    assert levels[0] == 1
    flags = family_parser(family, "").parse_args(["--dataset_base_path", "."])
    assert flags.lora_target_modules.split(",") == list(family.lora_targets)
    assert {name: getattr(flags, name) for name in adapter.defaults} == adapter.defaults
    dit = next(network for network in family.networks if "dit" in network.attributes)
    with torch.device("meta"):
        layers = load_object(dit.model_class)(**dit.small(Sizes())).named_modules()
    linear = [name for name, layer in layers if isinstance(layer, torch.nn.Linear)]
    assert all(any(name.endswith(f".{target}") for name in linear) for target in family.lora_targets)


@of_each_network
def test_a_small_network_is_recognised_by_its_names(network: Network) -> None:
    pytest.importorskip("transformers")
    model_class = load_object(network.model_class)
    with torch.device("meta"):
        model = model_class(**network.small(Sizes()))
    file_key = getattr(model_class, "file_key", str)
    shapes = {file_key(key): tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert model_class.recognises(shapes.keys())
    assert [other.name for other in NETWORKS if load_object(other.model_class).recognises(shapes.keys())] == [
        network.name
    ]
    asked = network.small(Sizes())
    found = model_class.kwargs_from_shapes(shapes)
    assert {name: found[name] for name in asked if name in found} == {
        name: value for name, value in asked.items() if name in found
    }


FORMS = [(network, form) for network in NETWORKS for form in network.published if form.names is None]


@pytest.mark.parametrize(("network", "form"), FORMS, ids=[form.where.partition(":")[0] for _, form in FORMS])
def test_a_published_file_has_the_hash_of_its_sizes(network: Network, form: Published) -> None:
    """But for those that hold more, or by other names: their networks' tests put them together."""
    pytest.importorskip("transformers")
    model_class = load_object(network.model_class)
    with torch.device("meta"):
        model = model_class(**form.sizes, **form.kwargs)
    file_key = getattr(model_class, "file_key", str)
    names = {file_key(key): tensor for key, tensor in model.state_dict().items()}
    assert model_hash(names) == form.model_hash
    assert model_class.recognises(names.keys())
    found = model_class.kwargs_from_shapes({name: tuple(tensor.shape) for name, tensor in names.items()})
    assert found.items() >= form.sizes.items()


@of_each_network
def test_what_cuts_a_network(network: Network) -> None:
    if network.cut is not None:
        how = import_module(network.cut)
        with torch.device("meta"):
            model = load_object(network.model_class)(**network.small(Sizes()))
        assert how.heads(model) == (None if "vae" in network.attributes else 2)
        assert callable(how.cut)


@pytest.mark.parametrize(
    "network",
    [one for one in NETWORKS if {"dit", "vace"} & set(one.attributes)],
    ids=lambda network: network.name,
)
def test_what_is_trained_names_its_blocks(network: Network) -> None:
    """They are what is compiled, and what a made-up LoRA changes."""
    with torch.device("meta"):
        made = load_object(network.model_class)(**network.small(Sizes()))
    assert len(made.blocks) > 0
    assert set(made.blocks.parameters()) <= set(made.parameters())
    assert any(isinstance(layer, torch.nn.Linear) for layer in made.blocks.modules())
