"""diffusers' form of the VAE of Wan 2.2: its parameters' names, and one with the weights of ours."""

from diffusers import AutoencoderKLWan

from diffsynth.models.wan_video_vae38 import DEVIATION, MEAN

_TOP = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
_ENDS = {"conv1": "conv_in", "head.0": "norm_out", "head.2": "conv_out"}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_LAYERS = {
    "residual.0": "norm1", "residual.2": "conv1", "residual.3": "norm2", "residual.6": "conv2",
    "shortcut": "conv_shortcut",
}  # fmt: skip


def theirs(key):
    """What diffusers calls a parameter."""
    name, _, parameter = key.rpartition(".")
    if name in _TOP:
        return f"{_TOP[name]}.{parameter}"
    side, _, rest = name.partition(".")
    if rest in _ENDS:
        return f"{side}.{_ENDS[rest]}.{parameter}"
    part, place, rest = rest.split(".", 2)
    if part == "middle":
        return f"{side}.mid_block.{_MIDDLE[place]}.{_LAYERS.get(rest, rest)}.{parameter}"
    down = part == "downsamples"
    _, number, rest = rest.split(".", 2)
    if rest.startswith(("resample", "time_conv")):
        return f"{side}.{'down' if down else 'up'}_blocks.{place}.{'down' if down else 'up'}sampler.{rest}.{parameter}"
    block = f"{side}.{'down' if down else 'up'}_blocks.{place}.resnets.{number}"
    return f"{block}.{_LAYERS[rest]}.{parameter}"


def peer_of(vae):
    """diffusers' autoencoder with the sizes and the weights of ours."""
    weights = {theirs(key): tensor.clone() for key, tensor in vae.state_dict().items()}
    sizes = type(vae).kwargs_from_shapes({key: tuple(tensor.shape) for key, tensor in vae.state_dict().items()})
    peer = AutoencoderKLWan(
        base_dim=sizes["dim"],
        decoder_base_dim=sizes["decoder_dim"],
        z_dim=vae.z_dim,
        num_res_blocks=sizes["num_res_blocks"],
        latents_mean=list(MEAN),
        latents_std=list(DEVIATION),
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )
    peer.load_state_dict(weights)
    return peer.eval().requires_grad_(False)
