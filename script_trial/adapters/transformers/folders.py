"""The made-up folder of a model: small config, random weights, tokenizer and processors, as the library saves them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from script_trial.adapter import CannotMakeUp, TrialOfAdapter
from script_trial.adapters.transformers.model_types import model_type_of
from script_trial.small.networks import build, small_config, told_of, write_network
from script_trial.small.processors import tokenizer_of, write_processing
from script_trial.small.tokenizers import make_tokenizer

# Of a config, what a script sets by a keyword of `from_pretrained` and the shape of weights depends on.
_SHAPING = ("num_labels", "id2label", "label2id", "vocab_size", "problem_type", "hidden_size", "num_hidden_layers")


class Folders:
    """Finds or writes the folder of a model; a `Resolver`."""

    def __init__(self, trial: TrialOfAdapter) -> None:
        self._trial = trial

    def __call__(self, loading: Any, model_id: str, keywords: Mapping[str, Any]) -> Path | None:
        """The folder that this class loads in place of the model.

        Raises:
            CannotMakeUp: the id names no known type of model, or the weights are to be of a kind that needs CUDA.
        """
        refuse_quantized(keywords)
        if keywords.get("gguf_file") is not None:
            raise CannotMakeUp(f"{keywords['gguf_file']} of {model_id}: GGUF files cannot be made up")
        if _is_tokenizer(loading) and model_type_of(model_id) is None:
            return self._once(
                f"{model_id}/{loading.__name__}", lambda place: make_tokenizer(loading).save_pretrained(place)
            )
        config_class, model_type = _config_class(loading, model_id)
        with told_of(f"a {model_type} of {model_id}"):
            return self._of_type(loading, model_id, keywords, config_class, model_type)

    def _of_type(
        self, loading: Any, model_id: str, keywords: Mapping[str, Any], config_class: Any, model_type: str
    ) -> Path:
        tokenizer = tokenizer_of(model_type)
        given = _given(keywords)
        config = keywords.get("config")
        if config is None or isinstance(config, str):
            config = small_config(config_class, tokenizer, given)
        else:
            config = copy.deepcopy(config)  # saving changes the type of weights that it names
        network_class = _network_class(loading, config)
        if network_class is None:
            return self._once(f"{model_id}/processing", lambda place: _write_processing(model_type, config, place))
        variant = keywords.get("variant")
        parts = [network_class.__name__, *([variant] if variant else []), *_told_apart(config, given, keywords)]
        name = f"{model_id}/{'-'.join(parts)}"

        def write(place: Path) -> None:
            # The seed is the model's name alone: whatever is read of it, the weights are the same.
            write_network(build(network_class, config), place, model_id, _dtype(config), variant=variant)
            _write_processing(model_type, config, place)

        return self._once(name, write)

    def _once(self, name: str, write: Any) -> Path:
        return self._trial.once(f"transformers/{name}", write)


def refuse_quantized(keywords: Mapping[str, Any]) -> None:
    """Raises CannotMakeUp where weights are to be quantized by a library that is made of CUDA kernels."""
    config = keywords.get("quantization_config")
    told = config if isinstance(config, Mapping) else getattr(config, "to_dict", dict)()
    for bits, asked in (("4", "load_in_4bit"), ("8", "load_in_8bit")):
        if keywords.get(asked) or told.get(asked):
            raise CannotMakeUp(
                f"bitsandbytes' {bits}-bit weights, whose kernels are CUDA's: load the model in bfloat16, without "
                "quantization_config, or quantize it by torchao"
            )
    method = told.get("quant_method")
    if method is not None:
        raise CannotMakeUp(f"weights quantized by {getattr(method, 'value', method)}, which cannot be made up")


def _config_class(loading: Any, model_id: str) -> tuple[Any, str]:
    """The class of the model's config, and its type."""
    from transformers import AutoConfig, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    named = model_type_of(model_id)
    own: Any = loading if isinstance(loading, type) and issubclass(loading, PretrainedConfig) else None
    own = own or getattr(loading, "config_class", None)
    if own is not None and own is not AutoConfig:
        is_of_it = named in CONFIG_MAPPING and CONFIG_MAPPING[named] is own
        return own, str(named if is_of_it else own.model_type)
    if named is None or named not in CONFIG_MAPPING:
        raise CannotMakeUp(
            f"the model {model_id}, whose id names no type of model that is known: load it by its own class instead of "
            "an Auto class, or have its folder here"
        )
    return CONFIG_MAPPING[named], named


def _network_class(loading: Any, config: Any) -> Any:
    """The network to write for a class that loads; None where no weights are asked for."""
    import torch

    mapping = getattr(loading, "_model_mapping", None)
    if mapping is not None:
        if type(config) not in mapping:
            raise CannotMakeUp(f"{loading.__name__} of a {config.model_type}, which transformers does not have")
        found = mapping[type(config)]
        return found[0] if isinstance(found, (list, tuple)) else found
    if isinstance(loading, type) and issubclass(loading, torch.nn.Module):
        return loading
    return None


def _is_tokenizer(loading: Any) -> bool:
    from transformers import PreTrainedTokenizerBase

    return isinstance(loading, type) and issubclass(loading, PreTrainedTokenizerBase)


def _given(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {name: keywords[name] for name in _SHAPING if name in keywords}


def _told_apart(config: Any, given: Mapping[str, Any], keywords: Mapping[str, Any]) -> list[str]:
    """What the name of a folder needs, beside the class, so that the same name always holds the same."""
    if not isinstance(keywords.get("config"), (str, type(None))):
        left_out = ("_name_or_path", "transformers_version", "dtype", "architectures")
        told: Any = {name: value for name, value in config.to_dict().items() if name not in left_out}
    elif given:
        told = given
    else:
        return []
    return [hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:12]]


def _dtype(config: Any) -> Any:
    """As models are published: those with rotary embeddings, hence the newer language models, in bfloat16."""
    import torch

    text = config.get_text_config()
    rotary = getattr(text, "rope_parameters", None) or getattr(text, "rope_theta", None)  # of transformers 5, and of 4
    return torch.bfloat16 if rotary else torch.float32


def _write_processing(model_type: str, config: Any, place: Path) -> None:
    config.save_pretrained(place)
    write_processing(model_type, config, place)
    if not (place / "generation_config.json").exists():
        from transformers import GenerationConfig

        GenerationConfig.from_model_config(config).save_pretrained(place)
