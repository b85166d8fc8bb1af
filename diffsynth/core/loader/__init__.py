"""From what the caller names to networks with weights, in the order of the data:

`ModelConfig` (model_config.py) finds or downloads files, `Checkpoint` (checkpoint.py) reads them by key, `detect`
(detection.py) tells which models they hold, `build_on_meta` and `fill` (build.py) make those; where a model holds its
weights, and which key is whose, weights.py says.
"""

from diffsynth.core.loader.build import build_on_meta, fill
from diffsynth.core.loader.checkpoint import Checkpoint, load_state_dict
from diffsynth.core.loader.detection import ModelEntry, detect, model_hash
from diffsynth.core.loader.download import ModelNotFoundError
from diffsynth.core.loader.model_config import ModelConfig, redirected
from diffsynth.core.loader.weight_source import CheckpointError, DictSource, TensorHeader, WeightSource

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "DictSource",
    "ModelConfig",
    "ModelEntry",
    "ModelNotFoundError",
    "TensorHeader",
    "WeightSource",
    "build_on_meta",
    "detect",
    "fill",
    "load_state_dict",
    "model_hash",
    "redirected",
]
