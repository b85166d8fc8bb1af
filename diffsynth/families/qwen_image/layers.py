"""Qwen-Image-Layered: a picture that is taken apart into layers."""

from __future__ import annotations

from diffsynth.core.caller import check_whole
from diffsynth.diffusion.conditions import Call, Contribution
from diffsynth.utils.frames import check_size


class LayerInput:
    """`layer_input_image` and `layer_num`. The DiT looks at the picture last: by that it knows which one it is."""

    def check(self, call: Call) -> None:
        number, picture = call.asked["layer_num"], call.asked["layer_input_image"]
        dit = call.pipe.dit  # None where a data set is encoded for a training
        if number is None and picture is None:
            if dit is not None and dit.layered:
                raise ValueError("the dit takes a picture apart into layers: give layer_input_image and layer_num")
            return
        if dit is not None and not dit.layered:
            raise ValueError("layer_num: the dit makes no layers; load that of Qwen/Qwen-Image-Layered")
        if number is None or picture is None:
            raise ValueError("layer_input_image and layer_num go together: a picture, and how many layers it has")
        check_whole("layer_num", number, least=0)
        check_size("layer_input_image", picture, call.height, call.width)
        call.needs("vae")

    def prepare(self, call: Call) -> Contribution | None:
        picture = call.asked["layer_input_image"]
        if picture is None:
            return None
        return Contribution(pictures=(call.pipe.encode_picture(picture, call.progress_bar_cmd, **call.tiles),))
