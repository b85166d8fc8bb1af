"""What the caller says about one file of weights: where it is, and where its weights are to be kept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from diffsynth.core.caller import known_keywords_only
from diffsynth.core.loader import environment
from diffsynth.core.loader.download import ModelNotFoundError, find_or_download, is_local

Device = str | torch.device | None
Dtype = str | torch.dtype | None


@dataclass
class ModelConfig:
    """Names a model's files, by path or by the model they are published in; nothing is touched until it is used.

    Args:
        path: a file, a folder (a tokenizer), or a list of files; used as they are, with no download.
        model_id: ``Org/Name``, as at ModelScope and Hugging Face.
        origin_file_pattern: glob below the model's folder, or a list of them; ``folder/`` names a folder, and None,
            ``""`` or ``"./"`` the whole model.
        download_source: ``modelscope`` or ``huggingface``; None takes DIFFSYNTH_DOWNLOAD_SOURCE, else modelscope.
        local_model_path: root of the local tree ``<root>/<model_id>/``; None takes DIFFSYNTH_MODEL_BASE_PATH, else
            ``./models``.
        skip_download: True uses what is there; None takes DIFFSYNTH_SKIP_DOWNLOAD, else False.
        offload_device ... computation_dtype: where the weights are kept and what as, in each of the four states of
            memory management; ``"disk"`` for both leaves them in the file.
        clear_parameters: hold no weights: the network is there, on the meta device, and cannot compute. Under a
            ``"disk"`` offload, which reads them as it computes, it can.
        state_dict: the weights themselves, instead of a file.
        quantize: not supported; anything but None is an error.

    Raises:
        TypeError: an unknown keyword; the message has the nearest that exists.
    """

    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None
    model_id: str | None = None
    origin_file_pattern: str | Sequence[str] | None = None
    download_source: str | None = None
    local_model_path: str | os.PathLike[str] | None = None
    skip_download: bool | None = None
    offload_device: Device = None
    offload_dtype: Dtype = None
    onload_device: Device = None
    onload_dtype: Dtype = None
    preparing_device: Device = None
    preparing_dtype: Dtype = None
    computation_device: Device = None
    computation_dtype: Dtype = None
    clear_parameters: bool = False
    state_dict: Mapping[str, Tensor] | None = None
    quantize: object = None

    def check_input(self) -> None:
        """Whether it says where the weights are.

        Raises:
            ValueError: it names none of path, model_id and state_dict; or something in it has no meaning.
        """
        if self.quantize is not None:
            raise ValueError(
                f"ModelConfig(quantize={self.quantize!r}): quantized weights are not supported; leave it out"
            )
        if self.path is None and self.model_id is None and self.state_dict is None:
            raise ValueError(
                'ModelConfig() names no model: give path="file.safetensors", or model_id="Org/Name" with '
                'origin_file_pattern="*.safetensors", or state_dict'
            )
        if self.path is not None and not self.files():
            raise ValueError(f"ModelConfig(path={self.path!r}) names no file: expected a path or a list of paths")
        environment.skip_download(self.skip_download)
        environment.download_source(self.download_source)

    def download_if_necessary(self) -> ModelConfig:
        """A copy whose `path` is what there is on this machine: one path, or a list; this config stays as it is.

        Raises:
            ValueError: as `check_input`.
            ModelNotFoundError: there is no such file, and it cannot be downloaded.
        """
        self.check_input()
        if self.path is not None:
            paths = self.files()
            for path in paths:
                if not os.path.exists(path):
                    raise ModelNotFoundError(f"ModelConfig(path=...) names {path}, which does not exist")
            return replace(self, path=paths if isinstance(self.path, Sequence) and len(paths) > 1 else paths[0])
        if self.model_id is None:
            return replace(self)
        found = find_or_download(
            self.model_id,
            self.patterns(),
            root=self.root(),
            source=environment.download_source(self.download_source),
            skip_download=environment.skip_download(self.skip_download),
        )
        return replace(self, path=found)

    def files(self) -> list[str]:
        """`path` as a list; of a config that has been downloaded, what there is on this machine."""
        several = [self.path] if isinstance(self.path, (str, os.PathLike)) else self.path
        return [os.fspath(one) for one in several if os.fspath(one)] if isinstance(several, Sequence) else []

    def patterns(self) -> list[str]:
        """`origin_file_pattern` as a list; the empty pattern stands for the whole model."""
        if not self.origin_file_pattern:
            return [""]
        return [self.origin_file_pattern] if isinstance(self.origin_file_pattern, str) else [*self.origin_file_pattern]

    def root(self) -> str:
        """The root of the local model tree that this config looks into."""
        return environment.model_base_path(self.local_model_path)

    def vram_config(self) -> dict[str, Device | Dtype]:
        """The eight keys of memory management, None where nothing was said."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name.split("_")[0] in _STATES}


_STATES = ("offload", "onload", "preparing", "computation")

ModelConfig.__init__ = known_keywords_only("ModelConfig")(ModelConfig.__init__)  # type: ignore[method-assign]


def redirected(config: ModelConfig, model_id: str, files: Mapping[str, str]) -> ModelConfig:
    """The config to load instead: the converted file, where it is to be had and the original is not here already.

    The tensors are the same, and one download serves several models. The given config is not changed.

    Args:
        model_id: the model that has the converted files.
        files: their names by those of the originals.
    """
    patterns = config.patterns()
    if (
        config.path is not None
        or config.model_id is None
        or len(patterns) != 1
        or patterns[0] not in files
        or is_local(config.model_id, patterns, config.root())
    ):
        return config
    converted = replace(config, model_id=model_id, origin_file_pattern=files[patterns[0]])
    # Where neither is here, nor may be downloaded, the message is to name the file that the caller knows.
    is_to_be_had = not environment.skip_download(config.skip_download) or is_local(
        model_id, converted.patterns(), converted.root()
    )
    return converted if is_to_be_had else config
