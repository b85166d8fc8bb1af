"""The words by which programs say what a value is: what tells a device from text that happens to be the same word.

Nothing here knows about positions; porter.places asks these tables about the labels that it finds.
"""

from __future__ import annotations

import re
from functools import cache

#: Labels that say a device or backend is meant, whatever else they say: `device_name`, `gpu_list`, `map_location`.
DEVICE_WORDS = frozenset("device dev accelerator gpu cuda npu backend location placement".split())

#: Labels of text, files and names: the value is data that happens to be the word.
TEXT_WORDS = frozenset(
    """prompt text string substring line sentence caption name label title heading message msg description desc help
    doc comment note reason query question answer content language lang tag topic category keyword word token path
    file filename folder dir directory url uri link suffix prefix ext extension pattern regex sep separator end
    encoding package module library lib repo branch version extra framework feature marker author style header footer
    vendor brand key metavar id slug color project experiment attr attribute alias stdout stderr""".split()
)

#: A name that ends in one of these means a part of a network, however it begins: `text_encoder`, `language_model_2`.
NETWORK_WORDS = frozenset("encoder decoder model transformer tower extractor projector projection head".split())

#: What a module or class lists its own names in.
LISTS_OF_NAMES = frozenset({"__all__", "__slots__", "__match_args__"})

#: Functions whose arguments people read.
PRINTING = frozenset(
    """print pprint echo secho write writelines input confirm debug info warning warn error exception critical log
    set_description set_postfix_str fail exit skip skipif importorskip xfail abort
    title suptitle legend xlabel ylabel set_title set_xlabel set_ylabel add_scalar add_text""".split()
)

#: Functions that take names of files, attributes, modules, entries or patterns, or text to work on.
NAMING = frozenset(
    """open Path PurePath PosixPath WindowsPath join joinpath exists isfile isdir listdir mkdir makedirs glob rglob
    remove unlink rename import_module __import__ find_spec require hasattr delattr register unregister disable
    enable disabled enabled compile match search sub subn findall finditer fullmatch encode decode split rsplit strip
    lstrip rstrip find rfind index rindex count replace removesuffix format pipe pipeline tokenizer tokenize generate
    chat translate add_argument add_parser add_argument_group ArgumentParser Namespace namedtuple TypeVar NewType
    partition rpartition len ord hash quote dedent range_push range_start mark record_function annotate
    which find_library CDLL getLogger save save_pretrained from_pretrained copyfile copytree rmtree register_buffer
    register_parameter register_module add_module writerow imread imwrite load_dataset""".split()
)

#: Methods of lists, sets and strings, whose arguments are of the kind that their owner is: `devices.remove("cuda")`.
OF_THE_OWNER = frozenset(
    "append extend add insert remove discard index count replace split rsplit partition strip find".split()
)

#: Functions whose first arguments name an entry, and whose last is the value if there is none: `get("device", "cuda")`.
LOOKUPS = {
    "get": 1,
    "pop": 1,
    "setdefault": 1,
    "getenv": 1,
    "getattr": 2,
    "setattr": 2,
    "load": 1,
    "getoption": 1,
}

#: Functions and methods whose argument is a device, whatever library they are of.
TAKE_A_DEVICE = frozenset(
    """to cuda type pin_memory to_empty autocast GradScaler Generator Stream Event init_device_mesh DeviceMesh
    device_mesh synchronize manual_seed run_on""".split()
)

#: Functions that only hold their argument for what is around them: `type=click.Choice(["cuda", "cpu"])`.
HOLDING = frozenset("list tuple set frozenset sorted Choice click.Choice param pytest.param".split())

#: Functions that describe a class's field: dataclasses', pydantic's and attrs'.
FIELDS = frozenset({"field", "Field", "attrib", "ib"})

#: Where an option's own name, its first string, says what its default and choices are.
OPTIONS = frozenset("add_argument option argument Option Argument parametrize addoption".split())
OPTION_VALUES = frozenset("default choices const type show_default flag_value nargs".split())

#: Methods that ask what a device string is.
QUESTIONS = frozenset("startswith endswith removeprefix __eq__ __ne__".split())

#: Backends of something else than a device or communication: `attn_backend="cuda"`.
_OTHER_BACKENDS = re.compile(r"attn|attention|kernel|dynamo|compile|quant|sampl|video|image", re.IGNORECASE)

_DEVICES = frozenset(
    """cpu cuda gpu npu xpu mps musa hpu mlu sdaa meta auto hip rocm xla tpu ipu mtia neuron vulkan webgpu dml
    privateuseone disk balanced none default""".split()
)
_BACKENDS = frozenset("nccl hccl xccl mccl cncl gloo mpi ucc".split())


def is_device(text: str) -> bool:
    """Whether it may stand beside `"cuda"` in a list of devices or backends, or goes on after it (`":0"`)."""
    name, _, index = text.partition(":")
    return (not name or name in _DEVICES or name in _BACKENDS) and (not index or index.isdecimal())


def is_backend(text: str) -> bool:
    return text in _BACKENDS


@cache
def is_another_backend(label: str) -> bool:
    """Whether a label is about the backend of attention, of a compiler or the like."""
    return "backend" in label.lower() and _OTHER_BACKENDS.search(label) is not None


@cache
def says_device(label: str) -> bool:
    return not DEVICE_WORDS.isdisjoint(_words(label))


@cache
def says_text(label: str) -> bool:
    words = _words(label)
    return label in LISTS_OF_NAMES or (words[-1] not in NETWORK_WORDS and not TEXT_WORDS.isdisjoint(words))


def _words(label: str) -> list[str]:
    """The words of a name, each in the singular too: `supportedDevices2` has `supported`, `devices` and `device`."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z\d])([A-Z])", r"\1_\2", label).lower())
    return [form for word in words for form in (word, re.sub("ies$", "y", word).removesuffix("s"))] or [""]
