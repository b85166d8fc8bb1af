"""What every pipeline can do with its networks: load them, move them, change them by LoRA, compile them."""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diffsynth.core.device.npu_compatible_device import empty_cache, memory_info, resolve_device, room_left
from diffsynth.core.loader.checkpoint import load_state_dict
from diffsynth.core.loader.model_config import ModelConfig
from diffsynth.core.parallel.mesh import Mesh
from diffsynth.diffusion.loaded_model import LoadedModel
from diffsynth.diffusion.lora import FusedLora, HotLora
from diffsynth.diffusion.lora_file import file_metadata, linear_layers, linear_names, named_as_in, read_lora

# Six tiles of the Wan pipeline's usual size, 1.5 times its usual picture: no device is idle then.
TILES_AT_ONCE = 8 << 30

LoraFile = str | os.PathLike | ModelConfig
Call = TypeVar("Call", bound=Callable[..., Any])


def in_turn(call: Call) -> Call:
    """A pipeline's call, for several threads: at once where the weights stay where they are, else one after another."""

    @functools.wraps(call)
    def called(pipe: BasePipeline, *args: Any, **kwargs: Any) -> Any:
        alone = pipe.vram_management_enabled or pipe.mesh is not None
        with pipe._turn if alone else contextlib.nullcontext(), pipe._first_call_timed():
            return call(pipe, *args, **kwargs)

    return called  # type: ignore[return-value]


class BasePipeline:
    """Networks on one device.

    Args:
        device: where to compute: a device string, a torch.device, or None for the one this machine has.
        torch_dtype: the type that networks compute in, unless their own config says otherwise.

    Raises:
        UnknownDeviceError: this machine has no such device.

    Attributes:
        network_names: the networks that this kind of pipeline can have, each also an attribute, None where not loaded.
        networks: those that were loaded.
        mesh: the devices that share the work; None where this one does all of it.
    """

    network_names: tuple[str, ...] = ()

    def __init__(self, device: str | torch.device | None, torch_dtype: torch.dtype) -> None:
        self.device = resolve_device(device)
        self.torch_dtype = torch_dtype
        self.networks: dict[str, LoadedModel] = {}
        self.mesh: Mesh | None = None
        for name in self.network_names:
            setattr(self, name, None)
        self._hot_lora: dict[nn.Module, HotLora] = {}
        self._fused_lora: dict[nn.Module, FusedLora] = {}
        self._hot_by_choice: set[nn.Module] = set()
        self._compiled: set[nn.Module] = set()
        self._compiles_at_next_call = False
        self._turn = threading.RLock()

    @property
    def vram_management_enabled(self) -> bool:
        """True where some network's weights are moved as they are needed."""
        return any(network.weights is not None for network in self.networks.values())

    def get_vram(self) -> float:
        """The device's whole memory, GiB."""
        return memory_info(self.device)[1] / 1024**3

    def room_for_tiles(self, name: str) -> int:
        """Bytes that tiles of the named network may take at once.

        An eighth of the device, but not more than keeps it busy: the same whatever else is there, so that memory modes
        round alike. Only where less is left under the limit, half of that.
        """
        weights = self.networks[name].weights
        left = room_left(self.device, None if weights is None else weights.vram_limit)
        return min(left // 2, memory_info(self.device)[1] // 8, TILES_AT_ONCE)

    def adopt(self, name: str, network: LoadedModel) -> None:
        """Takes a loaded network in under one of `network_names`."""
        setattr(self, name, network.module)
        self.networks[name] = network

    def adopt_all(self, networks: Iterable[LoadedModel], *, places: Mapping[str, Sequence[str]], kind: str) -> None:
        """Takes loaded networks in, in their order.

        Args:
            places: by what a network is, the names it may have here; the first that is free is taken.
            kind: what this kind of pipeline has, as a sentence for an error.

        Raises:
            ValueError: there is no place for a network, or none left.
        """
        for network in networks:
            free = [name for name in places.get(network.name, []) if name not in self.networks]
            if not free:
                count = "one too many" if network.name in places else "which has no use here"
                raise ValueError(f"model_configs hold a {network.name}, {count}: {kind}")
            self.adopt(free[0], network)
        for network in self.networks.values():
            if hasattr(network.module, "warm_up"):
                with contextlib.suppress(Exception):  # a network that runs will raise it where it can be told apart
                    network.module.warm_up(self.device, network.dtype)

    def needs(self, name: str, purpose: str) -> LoadedModel:
        """The network of that name.

        Raises:
            RuntimeError: it was not loaded, or without its weights; the message says that `purpose` needs it.
        """
        if name not in self.networks:
            raise RuntimeError(
                f"{purpose} needs the {name}, and none was loaded: add its file to the model_configs of from_pretrained"
            )
        if self.networks[name].cleared:
            raise RuntimeError(
                f"{purpose} needs the weights of the {name}, and its ModelConfig has clear_parameters=True: "
                "leave that out"
            )
        return self.networks[name]

    def load_models_to_device(self, names: Iterable[str]) -> None:
        """Makes the named networks ready to compute, and sends the other managed ones off the device first."""
        names = self._known_names(names)
        managed = {name: network for name, network in self.networks.items() if network.weights is not None}
        leaving = [network for name, network in managed.items() if name not in names]
        for network in leaving:
            network.weights.offload()
            if network.module in self._hot_lora:
                self._hot_lora[network.module].leave_device()
        if leaving:
            empty_cache(self.device)
        for name in names:
            if name in managed:
                managed[name].weights.onload()

    def _known_names(self, names: str | Iterable[str]) -> list[str]:
        """The names, or the one, as a list; raises ValueError for what no network of such a pipeline is called."""
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.network_names:
                near = difflib.get_close_matches(str(name), self.network_names, n=1)
                advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.network_names)}"
                raise ValueError(f"{type(self).__name__} has no network {name!r}: {advice}")
        return names

    # LoRA

    def load_lora(
        self,
        module: nn.Module,
        lora_config: LoraFile | None = None,
        alpha: float = 1,
        hotload: bool | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Changes one network by a LoRA, added to those it has.

        Args:
            module: the network, such as ``pipe.dit``.
            lora_config: a file, or a ModelConfig to find it by; or give its content as `state_dict`.
            alpha: strength.
            hotload: True adds the change as the layers run, False fuses it into the weights once. None fuses where
                the weights stay on the device, and adds where they are moved.

        Raises:
            ValueError: the file is no LoRA, or one of another model; nothing has changed then.
        """
        network = self._network_of(module)
        content, metadata, source = _read_lora_file(lora_config, state_dict)
        pairs = read_lora(content, alpha=alpha, source=source, metadata=metadata)
        pairs = named_as_in(module, linear_names(module), pairs)
        layers = linear_layers(module, pairs, source=source)
        if hotload is None:
            hotload = network.weights is not None or module in self._hot_by_choice
        if hotload:
            self._hot_lora.setdefault(module, HotLora()).add(layers, pairs)
            self._compile_again(module)
        elif network.weights is not None:
            raise ValueError("hotload=False cannot be had for a network under a vram_config: its weights come and go")
        else:
            if module not in self._fused_lora:
                self._fused_lora[module] = FusedLora(network)
            self._fused_lora[module].add(layers, pairs)

    def enable_lora_hot_loading(self, module: nn.Module) -> None:
        """From now on `load_lora` adds changes to this network as it runs, and leaves its weights alone."""
        self._network_of(module)
        self._hot_by_choice.add(module)

    def clear_lora(self, module: nn.Module | None = None) -> None:
        """Takes every LoRA off again: of one network, or of all.

        The weights are the same bits as before; those that somebody has written since stay, with a warning. Where one
        cannot be read again, that error is raised, and the rest can be taken off by another call.
        """
        for network in self.networks.values() if module is None else [self._network_of(module)]:
            if network.module in self._hot_lora:
                self._hot_lora.pop(network.module).remove()
                self._compile_again(network.module)
            if network.module in self._fused_lora:
                self._fused_lora[network.module].remove()
                del self._fused_lora[network.module]

    def _network_of(self, module: nn.Module) -> LoadedModel:
        for network in self.networks.values():
            if network.module is module:
                return network
        raise ValueError(f"{type(module).__name__} is no network of this pipeline; it has {', '.join(self.networks)}")

    def compile_pipeline(
        self,
        mode: str = "default",
        dynamic: bool | None = True,
        fullgraph: bool = False,
        compile_models: Iterable[str] | None = None,
        backend: str = "inductor",
    ) -> None:
        """Compiles the repeated blocks of the networks, one block at a time, with torch.compile.

        That happens within the next call of the pipeline, which prints how long it took.

        Args:
            mode, dynamic, fullgraph, backend: as torch.compile takes them.
            compile_models: names of networks; None means the DiTs.
        """
        if compile_models is None:
            names = [name for name in ("dit", "dit2") if name in self.networks]
        else:
            names = self._known_names(compile_models)
        # What was compiled for one block serves all that are alike, and a hot LoRA may change some of them alone.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        for name in names:
            module = self.needs(name, "compile_pipeline").module
            blocks = getattr(module, "blocks", None)
            if blocks is None:
                warnings.warn(f"compile_pipeline: {name} has no repeated blocks and runs as it is", stacklevel=2)
                continue
            self._compiled.add(module)
            self._compiles_at_next_call = True
            for block in blocks:
                # The forward alone, so that hooks that bring the weights in stay outside the compiled part.
                block.forward = torch.compile(
                    block.forward, mode=mode if backend == "inductor" else None, dynamic=dynamic, fullgraph=fullgraph,
                    backend=backend,
                )  # fmt: skip

    def _compile_again(self, module: nn.Module) -> None:
        """Drops what was compiled, for compiled code does not see that hooks have come or gone. The next call makes it
        anew."""
        if module in self._compiled:
            torch.compiler.reset()
            self._compiles_at_next_call = True

    @contextlib.contextmanager
    def _first_call_timed(self) -> Iterator[None]:
        """Prints how long the call takes that compiles."""
        compiles, self._compiles_at_next_call = self._compiles_at_next_call, False
        started = time.perf_counter()
        yield
        if compiles:
            seconds = time.perf_counter() - started
            print(f"compile_pipeline: {seconds:.1f} s to the first frame, compiling included; the next call is faster")


def _read_lora_file(
    lora: LoraFile | None, state_dict: Mapping[str, Tensor] | None
) -> tuple[Mapping[str, Tensor], Mapping[str, str], str]:
    """Its tensors, what it says of itself, and what to call it."""
    if (lora is None) == (state_dict is None):
        raise ValueError("load_lora takes either a file (lora_config) or its content (state_dict)")
    if state_dict is not None:
        return state_dict, {}, "the state_dict"
    path = lora.download_if_necessary().path if isinstance(lora, ModelConfig) else os.fspath(lora)
    return load_state_dict(path), file_metadata(path), str(path)
