"""The record of a model family: what loader, pipelines, training, trial and benchmarks have to know of it.

A record imports nothing that takes long: classes are named by dotted path and imported by whoever needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

DTYPES = ("float32", "bfloat16", "float16")
# What ComfyUI, training scripts, diffusers and peft put before a layer's name.
LORA_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "pipe.dit.", "transformer.", "base_model.model.")
HEAD_DIM = 128  # of every published DiT: its rotary embedding splits it
# What the sizes of made-up networks are multiples of.
STEPS = {
    "width": HEAD_DIM,
    "head_dim": 32,
    "layers": 1,
    "text_width": 16,
    "text_layers": 1,
    "vae_width": 2,
    "vae_blocks": 1,
    "vocab_size": 1,
}

Shapes = dict[str, tuple[int, ...]]
Names = Callable[[Iterable[str]], dict[str, str]]
"""The names in a file -> the file's name of each tensor, by the name that its network publishes."""


@dataclass(frozen=True)
class Sizes:
    """How large made-up networks are.

    width: of the DiT, a multiple of 128 (its head size). head_dim: of a DiT whose file tells it, a multiple of 32: one
    of narrower heads has as many of them, and is narrower. layers: blocks of the DiT. text_width: of the text encoder's
    output and the DiT's text input, a multiple of 16. text_layers: blocks of the text encoder. vae_width: channels of
    the VAE at full resolution, even. vae_blocks: residual blocks of a level of Wan's VAE; Qwen-Image's are fixed.
    vocab_size: tokens that the text encoder knows, at least those of the made-up tokenizers.

    Raises ValueError naming the size that is not legal.
    """

    width: int = 256
    head_dim: int = HEAD_DIM
    layers: int = 2
    text_width: int = 64
    text_layers: int = 2
    vae_width: int = 8
    vae_blocks: int = 2
    vocab_size: int = 448

    def __post_init__(self) -> None:
        for name, step in STEPS.items():
            value = getattr(self, name)
            if value <= 0 or value % step:
                multiple = f"a multiple of {step}" if step > 1 else "at least 1"
                raise ValueError(f"{name} must be {multiple}, not {value}")

    @property
    def heads(self) -> int:
        """Of the DiT."""
        return self.width // HEAD_DIM


@dataclass(frozen=True)
class Published:
    """One published form of a network's file.

    Attributes:
        model_hash: `diffsynth.core.loader.detection` of its names and shapes.
        where: the files that have it.
        names: of its tensors, where they are others than those that the network publishes.
        kwargs: of the network's constructor, besides the sizes that it reads from the shapes.
        sizes: the constructor's arguments that make a network of these shapes, but for those that are its defaults.
    """

    model_hash: str
    where: str
    names: Names | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)


def _nothing(sizes: Sizes) -> Shapes:
    return {}


@dataclass(frozen=True)
class Network:
    """One kind of network: its class, its files, its places in a pipeline.

    Attributes:
        name: what a file that holds it is said to hold.
        model_class: dotted path.
        attributes: of a pipeline that it may become, the first that is free.
        published: the forms of its file that are known by hash.
        small: the constructor's arguments for made-up weights.
        dtype: what the published file holds.
        gains: factors on the made-up values of the parameters whose file key ends so, where the default would be off.
        unused: shapes of the tensors in the file that the network does not have.
        cut: dotted path of the module that cuts it across devices: `cut(network, sequence)`, and `heads(network)` of
            its attention, or None. None: each device runs all of it.
        vram_units: names of submodules, as patterns, whose weights come and go as one, besides those that
            `core.vram.units` finds.
        multiple: pixels that height and width are a multiple of, where it is an autoencoder.
    """

    name: str
    model_class: str
    attributes: tuple[str, ...]
    published: tuple[Published, ...]
    small: Callable[[Sizes], dict[str, Any]]
    dtype: str = "bfloat16"
    gains: Mapping[str, float] = field(default_factory=dict)
    unused: Callable[[Sizes], Shapes] = _nothing
    cut: str | None = None
    vram_units: tuple[str, ...] = ()
    multiple: int = 16

    def published_as(self, file: str) -> Published:
        """The form whose `where` begins so, with a model's id; raises KeyError if there is none."""
        for form in self.published:
            if form.where.startswith(file):
                return form
        raise KeyError(f"{file}: no published form of {self.name}")


@dataclass(frozen=True)
class Folder:
    """A tokenizer's or processor's folder, which `from_pretrained` takes as a ModelConfig.

    Attributes:
        keyword: of `from_pretrained`.
        attribute: of the pipeline, for what reads it.
        reader: dotted path of the class that is called with the folder's path.
        needed_by: the network that it goes with: read where that is loaded. None: read where it is given.
        instead: the keyword of another folder that has the same files: taken where this one is not given.
        default: model id and pattern of the one to take where neither is given; in a pipeline only with `needed_by`.
        for_inputs: a training takes the default where --extra_inputs names one of these. Empty: always.
    """

    keyword: str
    attribute: str
    reader: str
    needed_by: str | None = None
    instead: str | None = None
    default: tuple[str, str] | None = None
    for_inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightFile:
    """A checkpoint of a model: `name` inside the model's folder (.safetensors or .pth), cut into `shards`.

    Checkpoints of the same `identity` hold the same made-up values, as the text encoders of all Wan models do.

    Attributes:
        kwargs: of the network's constructor for made-up weights, besides those of `Network.small`.
        beside: other networks in the same file.
        prefix: of every name in the file.
    """

    name: str
    network: Network
    identity: str
    shards: int = 1
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[Network, ...] = ()
    prefix: str = ""


@dataclass(frozen=True)
class LoraFile:
    """A published LoRA of a network: `name` inside the model's folder, in the form that training saves.

    Attributes:
        rank: of its changes.
        targets: ends of the names of the layers that it changes.
    """

    name: str
    network: Network
    identity: str
    rank: int
    targets: tuple[str, ...]


@dataclass(frozen=True)
class TokenizerFolder:
    """A tokenizer or processor: `name` is its folder inside the model's folder, and `kind` what is in it, made up: byte
    pairs with Qwen's tokens ("qwen"), the same and what makes patches of pictures ("qwen_processor"), or "umt5"."""

    name: str
    kind: str


ModelFile = WeightFile | LoraFile | TokenizerFolder


@dataclass(frozen=True)
class NpuOption:
    """An option that launches of trainings need on an NPU.

    Attributes:
        split_training: whether a step of a split training needs it too.
        trains: "full" or "lora", if trainings of the other kind do without it.
    """

    split_training: bool
    trains: str | None = None


@dataclass(frozen=True)
class Series:
    """Models of one kind, for who ports the launch scripts of their trainings.

    Attributes:
        models: a regular expression that the id or path of each of them holds, whatever its case.
        options: of the training script, by name.
    """

    name: str
    models: str
    options: Mapping[str, NpuOption]


@dataclass(frozen=True)
class NpuMemory:
    """How the training of some models fits into an NPU's memory, where that differs from the script for a GPU.

    Attributes:
        models: a regular expression that the model's id holds, whatever its case.
        trains: "full" or "lora".
        strategy: "zero2offload" or "zero3", the configuration of accelerate of that name; "split": encode, then train.
        because: the reason, which becomes a comment in the script.
    """

    models: str
    trains: str
    strategy: str
    because: str


@dataclass(frozen=True)
class Converted:
    """Files that several models of the family share, and the one model that has them as safetensors."""

    model_id: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
        name: of its folder.
        title: what people call it.
        makes: "video" or "image".
        pipeline: dotted path of its pipeline.
        networks: those that its pipeline can have.
        has: what a pipeline of it holds, as a sentence for the error about a network too many.
        models: by model id, what a published model consists of, for made-up weights.
        folders: of tokenizers and processors, in the order in which they are read.
        converted: where files that its models share are found in a better form.
        refused: keywords of `from_pretrained` for what is not part of this version, each with what it is for.
        levels: dotted path of its noise levels, a function as `diffsynth.diffusion.flow_match.NoiseLevels`.
        trained: attributes of a pipeline that a training may change.
        training: dotted path of what training has to know, a `diffsynth.diffusion.training.adapter.TrainingAdapter`.
        lora_targets: ends of the layers' names that a LoRA changes where a training does not say.
        lora_prefixes: what files of a LoRA may put before the layers' names.
        conditions: dotted path of the units of its conditioning.
        imported_late: modules that its pipeline imports only when it is called.
        series: of its models, for the porter of launch scripts, which reads them in accelerator_tables/families.
        memory: how trainings fit into an NPU, for the same.
    """

    name: str
    title: str
    makes: str
    pipeline: str
    networks: tuple[Network, ...]
    has: str
    models: Mapping[str, tuple[ModelFile, ...]]
    folders: tuple[Folder, ...] = ()
    converted: Converted | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    levels: str = ""
    trained: tuple[str, ...] = ("dit",)
    training: str = ""
    lora_targets: tuple[str, ...] = ()
    lora_prefixes: tuple[str, ...] = LORA_PREFIXES
    conditions: str | None = None
    imported_late: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    memory: tuple[NpuMemory, ...] = ()

    @property
    def keywords(self) -> list[str]:
        """Those of `from_pretrained` that other families may not have."""
        own = [*(folder.keyword for folder in self.folders), *self.refused]
        return own if self.converted is None else [*own, "redirect_common_files"]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those of a pipeline that are networks."""
        return tuple(dict.fromkeys(name for network in self.networks for name in network.attributes))

    def network_at(self, attribute: str) -> Network:
        """The kind of network that a pipeline has under that name."""
        return next(network for network in self.networks if attribute in network.attributes)
