"""Processors of transformers' classes, made up: what cuts pictures and sound to the size that a small network takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from script_trial.adapter import CannotMakeUp
from script_trial.small.tokenizers import chat_template, make_tokenizer

PATCHES_OF_A_PICTURE = 16  # after merging, at most, where pictures keep their shape


def tokenizer_of(model_type: str) -> Any:
    """A made-up tokenizer of the class that a model of this type is published with; None where it has none."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    name = _listed(TOKENIZER_MAPPING_NAMES, model_type)
    if name is None:
        name = "TokenizersBackend" if _reads_text(model_type) else None
    if name is None:
        return None
    if name.startswith("MistralCommon"):  # reads a format of its own
        name = "PreTrainedTokenizerFast"
    return make_tokenizer(_of_transformers(name))


def _reads_text(model_type: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type]() if model_type in CONFIG_MAPPING else None
    return config is not None and getattr(config.get_text_config(), "vocab_size", None) is not None


def image_processor_of(model_type: str, config: Any) -> Any:
    """The image processor of a model of this type, for the size of picture that its config tells; None without one."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    names = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type)
    if names is None:
        return None
    for name in names.values() if isinstance(names, Mapping) else [one for one in names if one]:
        if name is not None and (made := _made(_of_transformers(name))) is not None:
            return fitted(made, config)
    raise CannotMakeUp(f"the image processor of {model_type}, which needs the package torchvision")


def fitted(processor: Any, config: Any) -> Any:
    """An image processor that makes pictures the size that a small network takes."""
    vision = getattr(config, "vision_config", None) or config
    side = getattr(vision, "image_size", None)
    sizes = getattr(processor, "size", None)
    if isinstance(side, (list, tuple)):
        side = side[0]
    edges = dict(sizes) if sizes is not None else {}
    if isinstance(side, int):
        for name in ("size", "crop_size"):
            if getattr(processor, name, None) is not None:
                setattr(processor, name, dict.fromkeys(dict(getattr(processor, name)), side))
    elif "longest_edge" in edges and hasattr(processor, "merge_size"):
        patch = processor.patch_size * processor.merge_size
        processor.size = {"shortest_edge": patch**2 * 4, "longest_edge": patch**2 * PATCHES_OF_A_PICTURE}
    return processor


def feature_extractor_of(model_type: str) -> Any:
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    name = _listed(FEATURE_EXTRACTOR_MAPPING_NAMES, model_type)
    return None if name is None else _of_transformers(name)()


def video_processor_of(model_type: str) -> Any:
    from transformers.utils import is_torchvision_available

    if not is_torchvision_available():
        raise CannotMakeUp(f"the video processor of {model_type}, which needs the package torchvision")
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES

    name = _listed(VIDEO_PROCESSOR_MAPPING_NAMES, model_type)
    return None if name is None else _of_transformers(name)()


def processor_of(model_type: str, config: Any, tokenizer: Any) -> Any:
    """The processor of a model of this type: its parts, and what it has to know of the network; None without one."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    name = PROCESSOR_MAPPING_NAMES.get(model_type)
    if name is None:
        return None
    processor_class = _of_transformers(name)
    makers = {
        "tokenizer": lambda: tokenizer,
        "image_processor": lambda: image_processor_of(model_type, config),
        "feature_extractor": lambda: feature_extractor_of(model_type),
        "video_processor": lambda: video_processor_of(model_type),
    }
    told = getattr(processor_class, "get_attributes", None)  # of transformers 5
    attributes = told() if told is not None else processor_class.attributes
    unknown = [one for one in attributes if one not in makers]
    if unknown:
        raise CannotMakeUp(f"the processor of {model_type}, whose {unknown[0]} cannot be made up")
    parts = {one: makers[one]() for one in attributes}
    processor = processor_class(**parts, **_of_the_network(processor_class, config))
    image = getattr(processor, "image_token", "") or ""
    video = getattr(processor, "video_token", "") or ""
    begin, end = ("<|vision_start|>", "<|vision_end|>") if "<|vision_start|>" in tokenizer.get_vocab() else ("", "")
    processor.chat_template = chat_template(f"{begin}{image}{end}", f"{begin}{video}{end}")
    return processor


def _of_the_network(processor_class: Any, config: Any) -> dict[str, Any]:
    """What some processors ask about the network that sees the picture, to count the tokens it becomes."""
    vision = getattr(config, "vision_config", None) or config
    answers = {
        "patch_size": getattr(vision, "patch_size", None),
        "vision_feature_select_strategy": getattr(config, "vision_feature_select_strategy", None),
        "num_additional_image_tokens": 1,
        "image_seq_length": getattr(config, "mm_tokens_per_image", getattr(config, "image_seq_length", None)),
    }
    asked = inspect.signature(processor_class.__init__).parameters
    return {name: value for name, value in answers.items() if name in asked and value is not None}


def write_processing(model_type: str, config: Any, folder: Path) -> None:
    """What a model's folder holds beside its weights: the tokenizer, or the processor with its parts."""
    tokenizer = tokenizer_of(model_type)
    processor = processor_of(model_type, config, tokenizer)
    if processor is not None:
        processor.save_pretrained(folder)
        return
    parts = (tokenizer, image_processor_of(model_type, config), feature_extractor_of(model_type))
    for part in parts:
        if part is not None:
            part.save_pretrained(folder)


def _of_transformers(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


def _listed(names: Mapping[str, Any], model_type: str) -> Any:
    """The first class that a table has for a type of model, whatever its form."""
    found = names.get(model_type)
    if isinstance(found, Mapping):
        found = next((name for name in found.values() if name), None)
    return found[0] if isinstance(found, (list, tuple)) else found


def _made(processor_class: Any) -> Any:
    """One with the class's own settings; None where a package is missing that it needs."""
    try:
        return processor_class()
    except ImportError:
        return None
