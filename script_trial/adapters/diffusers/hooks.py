"""Where the library is hooked into: what loads, and what is called."""

from __future__ import annotations

from importlib import import_module

from script_trial.adapter import TrialOfAdapter
from script_trial.adapters.diffusers.calls import offload_to_the_host, shorten_calls
from script_trial.adapters.diffusers.folders import Folders
from script_trial.adapters.diffusers.ip_adapters import make_up_ip_adapters
from script_trial.adapters.diffusers.lora import make_up_lora
from script_trial.adapters.diffusers.npu_forms import compute_as_on_npu
from script_trial.adapters.diffusers.results import keep_decoded
from script_trial.adapters.diffusers.single_files import make_up_single_files
from script_trial.small.hub import hub_of
from script_trial.small.web import made_up_web

# What loads something by a model's id: modules below diffusers, and the classes there.
_LOADING = {
    "pipelines.pipeline_utils": ("DiffusionPipeline",),
    "pipelines.auto_pipeline": (
        "AutoPipelineForText2Image",
        "AutoPipelineForImage2Image",
        "AutoPipelineForInpainting",
        "AutoPipelineForText2Audio",
    ),
    "models.modeling_utils": ("ModelMixin",),
    "models.auto_model": ("AutoModel",),
    "schedulers.scheduling_utils": ("SchedulerMixin",),
}


def install(trial: TrialOfAdapter) -> None:
    """Hooks into diffusers, in the process of a script."""
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = True
    hub = hub_of(trial)
    hub.add(Folders(trial))
    for module, names in _LOADING.items():
        for name in names:
            owner = getattr(import_module(f"diffusers.{module}"), name, None)
            if owner is not None and "from_pretrained" in vars(owner):
                hub.redirect(owner)
    shorten_calls(trial)
    offload_to_the_host(trial)
    keep_decoded(trial)
    compute_as_on_npu(trial)
    make_up_lora(trial)
    make_up_ip_adapters(trial)
    make_up_single_files(trial, hub)
    made_up_web(trial)
