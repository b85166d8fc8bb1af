"""What every pipeline stands on and no model is known to: devices, attention, loading, device memory."""

from diffsynth.core.loader import ModelConfig, load_state_dict

__all__ = ["ModelConfig", "load_state_dict"]
