"""Networks to measure, as the records of their families have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffsynth.core.loader.detection import load_object
from diffsynth.families.family import Network


def made(network: Network, sizes: Mapping[str, Any]) -> Any:
    """A network of that kind, of the sizes that a published form or `Network.small` has."""
    return load_object(network.model_class)(**sizes)
