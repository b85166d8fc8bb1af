"""What every pipeline can do with its networks: load them, move them, change them by LoRA, compile them."""

from __future__ import annotations

import contextlib
import inspect
import time
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from diffsynth.core.caller import check_number, nearest, unknown_keyword
from diffsynth.core.device.npu_compatible_device import memory_info, resolve_device, room_left
from diffsynth.core.loader.detection import load_object
from diffsynth.core.loader.model_config import ModelConfig, redirected
from diffsynth.core.parallel.group import Group
from diffsynth.core.parallel.mesh import Mesh, Sharing
from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.core.progress import ProgressBar, labelled, progress_bar
from diffsynth.diffusion.conditions import NOTHING, Call, Condition, Contribution, asked_of, combined
from diffsynth.diffusion.flow_match import FlowMatchScheduler
from diffsynth.diffusion.guidance import Predict, guided, guided_apart
from diffsynth.diffusion.loaded_model import LoadedModel, check_settings, load_models, unwrapped
from diffsynth.diffusion.prompts import Prompts, Texts, asked_prompts, given_embeddings
from diffsynth.diffusion.request import checked_latents, seeds_of, warn_unless_finite
from diffsynth.diffusion.step_end import StepEnd, StepState
from diffsynth.diffusion.turns import Turns
from diffsynth.diffusion.with_lora import WithLora
from diffsynth.families import MODEL_CONFIGS
from diffsynth.families.family import Family
from diffsynth.models.tiles import check_tiles

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from diffsynth.models.tiles import Tiling

Pipeline = TypeVar("Pipeline", bound="BasePipeline")
Branch = TypeVar("Branch", bound=Hashable)

Velocity = Callable[[int, Tensor, Texts], Tensor]
"""(number of the step, latents, prompts) -> the guided velocity, float32, the shape of the latents."""

# Six tiles of the Wan pipeline's usual size, 1.5 times its usual picture: no device is idle then.
TILES_AT_ONCE = 8 << 30


class BasePipeline(WithLora):
    """Networks on one device.

    Args:
        device: where to compute: a device string, a torch.device, or None for the one this machine has.
        torch_dtype: the type that networks compute in, unless their own config says otherwise.

    Raises:
        UnknownDeviceError: this machine has no such device.

    Attributes:
        family: what there is to know of the models that it runs.
        networks: those that were loaded, by name; each that its family has is also an attribute, None where not loaded.
        mesh: the devices that share the work; None where this one does all of it.
        scheduler: the noise levels and the steps between them; a call uses a copy. Another kind goes in its place by
            ``pipe.scheduler = Kind.from_config(pipe.scheduler.config)``.
    """

    family: ClassVar[Family]
    purpose: ClassVar[str]  # of a call, for errors: "making a video"
    output_types: ClassVar[Sequence[str]] = ("quantized", "latent")
    denoise: Callable[..., Tensor]  # walks latents down the noise levels
    draw_noise: Callable[..., Tensor]  # of a seed, on a device: (1, C, ...)
    latent_shape: Callable[..., tuple[int, ...]]  # of one result's latents
    _grid: Callable[[Call[Any], Contribution], dict[str, Any]]  # what these two are told of a call's latents
    _embedding: Callable[..., Tensor]  # of one prompt, (length, dim), by the text encoder, which is ready

    def __init__(self, device: str | torch.device | None = None, torch_dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.device = resolve_device(device)
        self.torch_dtype = torch_dtype
        self.networks: dict[str, LoadedModel] = {}
        self.mesh: Mesh | None = None
        for name in (*self.family.attributes, *(folder.attribute for folder in self.family.folders)):
            setattr(self, name, None)
        self._compiled: set[nn.Module] = set()
        self._compiles_at_next_call = False
        self.scheduler = FlowMatchScheduler(load_object(self.family.levels))
        self._turns = Turns()
        self._ready: list[str] = []  # the networks that were asked for last

    @classmethod
    def from_pretrained(
        cls: type[Pipeline],
        torch_dtype: torch.dtype = torch.bfloat16,
        device: str | torch.device | None = None,
        model_configs: Sequence[ModelConfig] = (),
        tokenizer_config: ModelConfig | None = None,
        *,
        use_usp: bool = False,
        vram_limit: float | None = None,
        ulysses_degree: int | None = None,
        ring_degree: int | None = None,
        cfg_degree: int | None = None,
        **of_family: Any,
    ) -> Pipeline:
        """Loads a pipeline. Files that are not there yet are downloaded.

        Args:
            torch_dtype: what the networks compute in.
            device: where; None means the accelerator that this machine has, else the CPU.
            model_configs: one for each file or set of shards. Of two DiTs, the one for high noise comes first.
            tokenizer_config: folder of the tokenizer; by default that of the family's first model.
            use_usp: share each generation among the processes that torchrun started, each on a device of its own; the
                index of `device` is then that of the process on its machine. All of them get the same result.
            vram_limit: GiB of device memory in use up to which weights stay on the device, for networks whose
                ModelConfig has offload settings. None: no limit.
            ulysses_degree, ring_degree, cfg_degree: how they share it; the product is the number of processes. For
                None, `core.parallel.mesh.choose_degrees` chooses.
            of_family: folders of other tokenizers and processors, by the keywords in the family's record, such as
                `processor_config`; and where its models share files, `redirect_common_files`: take these from one
                shared copy as safetensors rather than once for each model, which is the default.

        Raises:
            UnknownDeviceError: this machine has no such device.
            DegreeError: the degrees do not fit the number of processes.
            RankError: the processes cannot be joined, or one of them has ended.
            ValueError: a config is incomplete, or a file holds no model that is known here.
            TypeError: a keyword does not exist, or its value is of another kind.
            NotImplementedError: a keyword asks for what is not part of this version.
        """
        cls._check_keywords_of_family(of_family)
        folders = {folder.keyword: of_family.get(folder.keyword) for folder in cls.family.folders}
        folders["tokenizer_config"] = tokenizer_config
        check_settings(model_configs, torch_dtype, vram_limit, **folders)
        sharing = Sharing.asked_for(
            use_usp, device, ulysses_degree=ulysses_degree, ring_degree=ring_degree, cfg_degree=cfg_degree
        )
        pipe = cls(device if sharing is None else sharing.world.device, torch_dtype)
        converted = cls.family.converted if of_family.get("redirect_common_files", True) else None
        if converted is not None:
            model_configs = [redirected(config, converted.model_id, converted.files) for config in model_configs]
        if sharing is not None:
            sharing.world.first_on_each_machine(lambda: [config.download_if_necessary() for config in model_configs])
        networks = load_models(
            model_configs, table=MODEL_CONFIGS, torch_dtype=torch_dtype, device=pipe.device, vram_limit=vram_limit
        )
        pipe.adopt_all(networks)
        pipe.check_networks()
        pipe._read_folders(folders, sharing)
        if sharing is not None:
            pipe._share(sharing)
        return pipe

    @classmethod
    def _check_keywords_of_family(cls, given: Mapping[str, Any]) -> None:
        for keyword, value in given.items():
            if keyword not in cls.family.keywords:
                *common, _ = inspect.signature(BasePipeline.from_pretrained).parameters
                known = dict.fromkeys([*common, *cls.family.keywords])
                raise TypeError(unknown_keyword(f"{cls.__name__}.from_pretrained", keyword, known))
            if keyword in cls.family.refused and value is not None:
                raise NotImplementedError(f"{keyword}: {cls.family.refused[keyword]} is not part of this version")

    def check_networks(self) -> None:
        """Whether the networks that were loaded go together; raises ValueError."""

    def _read_folders(self, given: Mapping[str, ModelConfig | None], sharing: Sharing | None) -> None:
        """Reads the folders of tokenizers and processors: those given, and those that a network needs."""
        for folder in self.family.folders:
            is_needed = folder.needed_by in self.networks
            config = given[folder.keyword] or given.get(folder.instead or "")
            if config is None and is_needed and folder.default is not None:
                config = ModelConfig(model_id=folder.default[0], origin_file_pattern=folder.default[1])
            if config is not None and (is_needed or folder.needed_by is None):
                if sharing is not None:
                    sharing.world.first_on_each_machine(config.download_if_necessary)
                setattr(self, folder.attribute, load_object(folder.reader)(config.download_if_necessary().path))

    def _share(self, sharing: Sharing) -> None:
        """Lays the processes out, and cuts the networks across them."""
        cut = [
            (getattr(self, name), import_module(kind.cut))
            for name in self.networks
            if (kind := self.family.network_at(name)).cut is not None
        ]
        self.mesh = sharing.mesh(filter(None, [how.heads(network) for network, how in cut]))
        for network, how in cut:
            how.cut(network, SequenceParallel(self.mesh))

    @property
    def conditions(self) -> tuple[Condition[Any], ...]:
        """What can condition a generation, besides its prompt."""
        units: tuple[Condition[Any], ...] = load_object(self.family.conditions or ())
        return units

    @property
    def vram_management_enabled(self) -> bool:
        """True where some network's weights are moved as they are needed."""
        return any(network.weights is not None for network in self.networks.values())

    @property
    def runs_alone(self) -> bool:
        """Whether one call at a time can use the networks."""
        return self.vram_management_enabled or self.mesh is not None

    @property
    def interrupt(self) -> bool:
        """Set to True, ends a call after its step, which then returns what its latents are by then: in a callback, the
        call that it is of; from anywhere else, all that run. The next call starts anew."""
        return self._turns.interrupted

    @interrupt.setter
    def interrupt(self, value: bool) -> None:
        self._turns.interrupted = value

    _interrupt = interrupt  # what programs written for diffusers set

    def interrupted_anywhere(self) -> bool:
        """Whether the call is to end, on any of the processes that share it; all of them ask alike."""
        if self.mesh is None:
            return self.interrupt
        return bool(self.mesh.world.sum(torch.full((1,), float(self.interrupt), device=self.device)).item())

    def as_on_the_first(self, tensor: Tensor) -> Tensor:
        """The first process's tensor, on all that share the work; it may be written over the tensor."""
        return tensor if self.mesh is None else self.mesh.world.broadcast(tensor.contiguous())

    def embedded(self, prompts: Prompts, with_prompt: Mapping[str, Any]) -> Texts:
        """The embedding that each result has; for prompts the text encoder is made ready, which gets with each what
        the keywords of `_embedding` say."""
        if not prompts.encoded_already:
            self.load_models_to_device(["text_encoder"])
        return prompts.embedded(partial(self._embedding, **with_prompt))

    def encode_prompts(self, prompts: Mapping[Branch, str], **with_prompt: Any) -> dict[Branch, Tensor]:
        """Text embeddings (1, length, dim) by branch.

        Args:
            with_prompt: what the text encoder gets besides each prompt: of Qwen-Image, `pictures` that it speaks of,
                and whether it calls them by their numbers, `numbered`.
        """
        self.load_models_to_device(["text_encoder"])
        return {branch: self._embedding(one, **with_prompt).unsqueeze(0) for branch, one in prompts.items()}

    def walked(
        self,
        latents: Tensor,
        schedule: FlowMatchScheduler,
        texts: Texts,
        velocity: Velocity,
        given: Contribution = NOTHING,
        progress_bar_cmd: ProgressBar = progress_bar,
        step_end: StepEnd | None = None,
    ) -> Tensor:
        """The latents (N, C, ...), from whichever of the schedule's noise levels they are at to clean, or to where the
        call is interrupted.

        Args:
            texts: by branch, (L, dim) for each result.
            velocity: where it is given other prompts than in the last step, what it kept of them no longer holds, nor
                what it kept of the networks.
            given: what pictures, videos and masks contribute.
            step_end: what is told of each step, and may change what follows.
        """
        latents = given.start(latents)
        for index in labelled(progress_bar_cmd, "denoising")(range(len(schedule.timesteps))):
            if self.interrupted_anywhere():
                break
            moved = given.velocity(velocity(index, latents, texts), latents, schedule.sigmas[index].item())
            latents = given.start(schedule.step(moved, index, latents))
            if step_end is not None and step_end.callback is not None:
                latents, texts = self.after_step(step_end, index, schedule.timesteps[index], latents, texts)
        return latents

    def after_step(self, step_end: StepEnd, index: int, timestep: Tensor, latents: Tensor, texts: Texts) -> StepState:
        """What a callback makes of a step. Networks that were ready to compute are so again; where it has changed some,
        the prompts are another dict."""
        ready, changes = self._ready, self._turns.changes
        latents, texts = step_end(self, index, timestep, StepState(latents, texts))
        if self._ready != ready:
            self.load_models_to_device(ready)
        if self._turns.changes != changes:
            texts = dict(texts)
        return StepState(self.as_on_the_first(latents), texts)

    @property
    def apart(self) -> Group | None:
        """The devices on which the text branches run apart; None where each device runs both."""
        return None if self.mesh is None or self.mesh.cfg.size == 1 else self.mesh.cfg

    def guided(self, predict: Predict, latents: Tensor, cfg_scale: float, *, merge: bool = False) -> Tensor:
        """The guided velocity; each branch on devices of its own where there are."""
        if self.apart is not None:
            return guided_apart(predict, latents, cfg_scale=cfg_scale, group=self.apart)
        return guided(predict, latents, cfg_scale=cfg_scale, merge=merge)

    def _made(
        self,
        asked: Mapping[str, Any],
        size: tuple[int, int, int],
        tiles: Tiling,
        steering: Mapping[str, Any],
        decode: Callable[[Tensor], Any],
        *,
        guided: bool,
        **levels: Any,
    ) -> Any:
        """What a call makes: one result, or a list of them, or the latents of all.

        Read it from top to bottom: check, lay out the noise levels, encode pictures and videos, start from noise (or
        from something noised), encode prompts, denoise, decode. Latents, sigmas and timesteps are float32 all the way.
        Several results are denoised as one batch, and decoded one by one.

        Args:
            asked: the call's keywords.
            size: height, width and number of frames, which fit.
            tiles: keywords of the VAE.
            steering: keywords of `denoise`.
            decode: makes a result of its latents (1, C, ...).
            guided: whether some step needs the negative prompt.
            levels: what the noise levels depend on, besides the number of steps and `denoising_strength`.
        """
        output_type, progress = asked["output_type"], asked["progress_bar_cmd"]
        if output_type not in self.output_types:
            raise ValueError(f"output_type={output_type!r}: expected {', '.join(map(repr, self.output_types))}")
        check_number("cfg_scale", asked["cfg_scale"])
        step_end = StepEnd(asked["callback_on_step_end"], asked["callback_on_step_end_tensor_inputs"])
        if tiles.get("tiled"):
            check_tiles(tiles["tile_size"], tiles["tile_stride"])
        dit: Any = unwrapped(self.needs("dit", self.purpose).module)
        per_prompt = f"num_{self.family.makes}s_per_prompt"
        prompts = asked_prompts(
            asked["prompt"],
            asked["negative_prompt"],
            given_embeddings(asked, dit.text_dim, self.device),
            guided=guided,
            per_prompt=(per_prompt, asked[per_prompt]),
        )
        if not prompts.encoded_already:
            self.needs("text_encoder", self.purpose)
        if output_type != "latent":
            self.needs("vae", self.purpose)
        schedule = copy(self.scheduler)  # of this call alone
        schedule.set_timesteps(asked["num_inference_steps"], denoising_strength=asked["denoising_strength"], **levels)
        call = Call(self, self.purpose, asked, prompts, *size, tiles, progress)
        given = combined([unit.prepare(call) for unit in asked_of(self.conditions, call)])
        latents = self._first_latents(call, prompts.count, given)
        if (clean := given.clean) is not None:
            latents = schedule.add_noise(clean, latents, 0)
        texts = self.embedded(prompts, given.with_prompt)
        latents = self.denoise(
            latents, schedule, texts, given=given, progress_bar_cmd=progress, step_end=step_end, **steering
        )
        latents = latents[:, :, given.frames_before :]
        warn_unless_finite(latents)
        made = latents if output_type == "latent" else [decode(one) for one in torch.split(latents, 1)]
        self.load_models_to_device([])
        return made[0] if prompts.single and isinstance(made, list) else made

    def _first_latents(self, call: Call[Any], count: int, given: Contribution) -> Tensor:
        """The latents (count, C, ...) that a caller gives, or else noise of the seed of each.

        Raises:
            ValueError: they are no tensor, or not of that shape each; or there are other seeds than results.
        """
        asked, grid = call.asked, self._grid(call, given)
        if asked["latents"] is not None:
            latents = checked_latents(asked["latents"], (count, *self.latent_shape(**grid)))
            return self.as_on_the_first(latents.to(self.device))
        seeds = seeds_of(asked["seed"], count)
        return torch.cat([self.draw_noise(seed, asked["rand_device"], **grid) for seed in seeds])

    @property
    def scheduler(self) -> FlowMatchScheduler:
        return self._scheduler

    @scheduler.setter
    def scheduler(self, scheduler: FlowMatchScheduler) -> None:
        kind = type(scheduler).__name__
        if not isinstance(scheduler, FlowMatchScheduler):
            raise TypeError(
                f"scheduler: a {kind} is none of diffsynth's; it has FlowMatchEulerDiscreteScheduler (in "
                "diffsynth.diffusion.flow_match) and UniPCMultistepScheduler (in diffsynth.diffusion.unipc)"
            )
        try:
            settings = inspect.signature(load_object(self.family.levels)).parameters  # what calls give
            inspect.signature(scheduler.config).bind(**dict.fromkeys(settings))
        except TypeError as error:
            raise TypeError(
                f"scheduler: the noise levels of this {kind} are not those of {type(self).__name__} ({error}): make it "
                f"by {kind}.from_config(pipe.scheduler.config)"
            ) from error
        self._scheduler = scheduler

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

    def through_vae(
        self, method: str, what: Tensor, *, progress_bar_cmd: ProgressBar, **tiles: Unpack[Tiling]
    ) -> Tensor:
        """What the VAE makes of a video or of latents, which go to its device first.

        Args:
            method: "encode" or "decode".
            tiles: keywords of that method; tiles are shared out among the devices.
        """
        self.load_models_to_device(["vae"])
        run: Callable[..., Tensor] = getattr(self.networks["vae"].module, method)
        progress = labelled(progress_bar_cmd, f"VAE {method.removesuffix('e')}ing")
        return run(what.to(self.device), **tiles, progress=progress, room=self.room_for_tiles("vae"), shared=True)

    def adopt(self, name: str, network: LoadedModel) -> None:
        """Takes a loaded network in under one of the family's names."""
        setattr(self, name, network.module)
        self.networks[name] = network

    def adopt_all(self, networks: Iterable[LoadedModel]) -> None:
        """Takes loaded networks in, in their order, each under the first of its names that is free.

        Raises:
            ValueError: there is no place for a network, or none left.
        """
        for network in networks:
            places = [name for kind in self.family.networks if kind.name == network.name for name in kind.attributes]
            free = next((name for name in places if name not in self.networks), None)
            if free is None:
                count = "one too many" if places else "which has no use here"
                raise ValueError(f"model_configs hold a {network.name}, {count}: {self.family.has}")
            self.adopt(free, network)
        self.warm_up()

    def warm_up(self) -> None:
        """Has the device load what the first forwards would load, as far as networks know it: `core.fused.warm_up`."""
        for network in self.networks.values():
            load = getattr(network.module, "warm_up", None)
            if load is not None:
                with contextlib.suppress(Exception):  # a network that runs will raise it where it can be told apart
                    load(self.device, network.dtype)

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
        self._ready = names = self._known_names(names)
        managed = {name: network.weights for name, network in self.networks.items() if network.weights is not None}
        for name in [name for name in managed if name not in names]:
            module = self.networks[name].module
            if module in self._lora:
                self._lora[module].leave_device()
            managed[name].offload()
        for name in names:
            if name in managed:
                managed[name].onload()

    def _known_names(self, names: str | Iterable[str]) -> list[str]:
        """The names, or the one, as a list; raises ValueError for what no network of such a pipeline is called."""
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.family.attributes:
                advice = nearest(name, self.family.attributes, "there are")
                raise ValueError(f"{type(self).__name__} has no network {name!r}: {advice}")
        return names

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
            compile_models = [name for name in ("dit", "dit2") if name in self.networks]
        # What was compiled for one block serves all that are alike, and a hot LoRA may change some of them alone.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        for name in self._known_names(compile_models):
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

    def _network_changed(self, module: nn.Module) -> None:
        """Drops what was compiled of it, for compiled code does not see that hooks have come or gone. The next call
        makes it anew."""
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
