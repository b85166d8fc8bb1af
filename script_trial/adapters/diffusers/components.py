"""The components of a pipeline, small and fitting one another, by the types that its class's signature names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from script_trial.adapter import CannotMakeUp
from script_trial.adapters.diffusers.published import NETWORKS, Published, scheduler_of
from script_trial.small.networks import build, small_arguments, small_config
from script_trial.small.processors import fitted, processor_of, tokenizer_of
from script_trial.small.random_weights import fill
from script_trial.small.tokenizers import make_tokenizer

# Classes that signatures name though they are not the ones to build.
_CONCRETE = {"Gemma2PreTrainedModel": "Gemma2Model", "PreTrainedModel": "CLIPTextModel"}


def make_components(pipeline_class: Any, made_of: Published, seed: str) -> dict[str, Any]:
    """What the pipeline's constructor is called with. Weights are a function of the seed and the component's name.

    Raises:
        CannotMakeUp: a component is of a kind that cannot be made up.
    """
    types = {
        name: kinds
        for name, kinds in pipeline_class._get_signature_types().items()
        if _is_there(pipeline_class, name, made_of)
    }
    made = _Components(pipeline_class.__name__, types, made_of, seed)
    missing = dict.fromkeys((name for name in pipeline_class._optional_components if name not in types), None)
    return {**missing, **made.all(), **made_of.settings}


def _is_there(pipeline_class: Any, name: str, made_of: Published) -> bool:
    if name in made_of.without:
        return False
    if name in made_of.also or name in made_of.parts:
        return True
    parameter = inspect.signature(pipeline_class.__init__).parameters[name]
    return parameter.default is parameter.empty and name not in pipeline_class._optional_components


class _Components:
    def __init__(self, pipeline: str, types: Mapping[str, Any], made_of: Published, seed: str) -> None:
        self._pipeline, self._types, self._made_of, self._seed = pipeline, types, made_of, seed
        self._made: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        for name in sorted(self._types, key=self._comes_late):
            self._made[name] = self._make(name, _one_of(self._types[name]))
        return self._made

    def _comes_late(self, name: str) -> int:
        """What others are fitted to comes first: a tokenizer before its encoder, an encoder before its processor."""
        kind = _one_of(self._types[name]).__name__
        return 0 if "Tokenizer" in kind else 2 if "Processor" in kind or "Extractor" in kind else 1

    def _make(self, name: str, kind: Any) -> Any:
        from diffusers import ModelMixin, SchedulerMixin
        from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

        given = dict(self._made_of.parts.get(name, {}))
        if kind.__name__ == "KarrasDiffusionSchedulers" or issubclass(kind, SchedulerMixin):
            return self._scheduler(kind, given)
        if kind.__name__ == "AutoTokenizer":
            return tokenizer_of(self._encoder_class(name).config_class.model_type)
        if issubclass(kind, PreTrainedTokenizerBase):
            return make_tokenizer(kind)
        if kind.__name__ == "AutoProcessor" or issubclass(kind, ProcessorMixin):
            return self._processor(name)
        if issubclass(kind, PreTrainedModel):
            config = small_config(kind.config_class, self._tokenizer_of(name), given)
            return self._filled(name, build(kind, config))
        if issubclass(kind, ModelMixin):
            arguments = {**NETWORKS.get(kind.__name__, {}), **given}
            return self._filled(name, build(kind, **small_arguments(kind, arguments)))
        if "Processor" in kind.__name__ or "Extractor" in kind.__name__:
            return fitted(kind(), self._seeing())
        raise CannotMakeUp(f"the {name} of a {self._pipeline}, a {kind.__name__}, which cannot be made up")

    def _filled(self, name: str, network: Any) -> Any:
        fill(network, f"{self._seed}/{name}")
        return network.eval()

    def _scheduler(self, kind: Any, given: Mapping[str, Any]) -> Any:
        import diffusers

        usual = scheduler_of(self._pipeline)
        chosen = kind if usual is None else getattr(diffusers, usual)
        if chosen.__name__ == "KarrasDiffusionSchedulers":
            chosen = diffusers.DDIMScheduler
        known = inspect.signature(chosen.__init__).parameters
        return chosen(**{name: value for name, value in given.items() if name in known})

    def _tokenizer_of(self, encoder: str) -> Any:
        """The tokenizer of a text encoder; of its processor where it has one instead."""
        tokenizer = self._made.get(encoder.replace("text_encoder", "tokenizer"))
        if tokenizer is None and encoder == "text_encoder" and self._types:
            kinds = [
                _one_of(kinds).__name__ for name, kinds in self._types.items() if name in ("tokenizer", "processor")
            ]
            if kinds:
                return tokenizer_of(self._encoder_class("tokenizer").config_class.model_type)
        return tokenizer

    def _encoder_class(self, tokenizer: str) -> Any:
        suffix = tokenizer.removeprefix("tokenizer").removeprefix("processor")
        return _one_of(self._types[f"text_encoder{suffix}"])

    def _processor(self, name: str) -> Any:
        encoder = self._made["text_encoder"]
        model_type = encoder.config.model_type
        return processor_of(model_type, encoder.config, self._made.get("tokenizer") or tokenizer_of(model_type))

    def _seeing(self) -> Any:
        """The config of the network that sees what an image processor makes; None without one."""
        seeing = next((self._made[name] for name in ("image_encoder", "safety_checker") if name in self._made), None)
        return getattr(seeing, "config", None)


def _one_of(kinds: Any) -> Any:
    """The class to build, of those that a signature names."""
    import transformers

    for kind in kinds:
        if isinstance(kind, type) and kind not in (type(None), list, tuple, bool, int, float, str):
            return getattr(transformers, _CONCRETE[kind.__name__]) if kind.__name__ in _CONCRETE else kind
    raise CannotMakeUp(f"a component of type {kinds}, which cannot be made up")
