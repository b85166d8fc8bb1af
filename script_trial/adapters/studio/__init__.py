"""DiffSynth-Studio as PyPI has it, 2.1.12 and later: its scripts run without its weights.

catalogue.py             which networks a file holds
sizes.py, hard_coded.py, transformers_configs.py
                         how small they are built: by arguments, by numbers in their code, by transformers' configs
weights.py               made-up files of weights
tokenizer_folders.py     made-up tokenizers and processors
loading.py               where both are handed to the library, which loads them itself
calls.py                 a pipeline's call on less work
training.py              training scripts on less work, with data made up
files.py                 videos and LoRAs made up, what its savers are given kept
host_work.py             what it computes on the host by design
as_on_npu.py             on the CPU, what it computes otherwise on an NPU
cpu_namespace.py         what works on a GPU and lacks on the CPU
"""

from __future__ import annotations

import importlib.util
import re
from importlib.machinery import ModuleSpec
from pathlib import Path

from script_trial.adapter import Adapter, CannotMakeUp, TrialOfAdapter

OLDEST = (2, 1, 12)


class StudioAdapter:
    """Knows DiffSynth-Studio; see `script_trial.adapter.Adapter`."""

    name = "DiffSynth-Studio"
    library = "diffsynth"

    def is_for(self, spec: ModuleSpec) -> bool:
        """Told from other packages of that name by its table of models."""
        return any((Path(folder) / "configs" / "model_configs.py").is_file() for folder in _folders(spec))

    def without_device(self) -> tuple[str, ...]:
        from script_trial.without_device import OF_TORCH, OF_TRANSFORMERS

        return OF_TORCH + OF_TRANSFORMERS

    def warm(self) -> None:
        import diffsynth.diffusion.base_pipeline  # noqa: F401

    def install(self, trial: TrialOfAdapter) -> None:
        """Raises CannotMakeUp where the library is too old to be known."""
        version = _version()
        if version is not None and version < OLDEST:
            found, oldest = (".".join(map(str, one)) for one in (version, OLDEST))
            raise CannotMakeUp(f"DiffSynth-Studio {oldest} or later; {found} is installed, which is not known")
        from script_trial.adapters.studio.as_on_npu import compute_as_on_npu
        from script_trial.adapters.studio.calls import install_calls
        from script_trial.adapters.studio.cpu_namespace import complete_torch_cpu, read_files_for_numbered_cpus
        from script_trial.adapters.studio.files import install_files
        from script_trial.adapters.studio.host_work import install_host_work
        from script_trial.adapters.studio.loading import install_loading
        from script_trial.adapters.studio.training import install_training

        complete_torch_cpu()
        read_files_for_numbered_cpus()
        install_loading(trial)
        install_calls(trial)
        install_files(trial)
        install_host_work(trial)
        compute_as_on_npu(trial)
        install_training(trial)


def _folders(spec: ModuleSpec) -> list[str]:
    return list(spec.submodule_search_locations or ())


def _version() -> tuple[int, ...] | None:
    """Of the library that is imported here; None where it does not say."""
    spec = importlib.util.find_spec("diffsynth")
    for folder in _folders(spec) if spec else ():
        file = Path(folder) / "version.py"
        said = re.search(r"__version__ = '(\d+)\.(\d+)\.(\d+)", file.read_text("utf-8")) if file.is_file() else None
        if said:
            return tuple(map(int, said.groups()))
    return None


adapter: Adapter = StudioAdapter()
