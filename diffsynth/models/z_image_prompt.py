"""What Z-Image's text encoder is given for a prompt."""

from __future__ import annotations

from torch import Tensor

from diffsynth.core.caller import warn_of_cut_prompt
from diffsynth.models.qwen_image_prompt import QwenImageTokenizer

_TURN = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"  # of Qwen3, which may think before it answers

LENGTH = 512  # tokens of a prompt, the template around it included


class ZImageTokenizer(QwenImageTokenizer):
    """The tokenizer of a local folder: `tokenizer/` of Z-Image or Z-Image-Turbo. Raises as `QwenImageTokenizer`."""

    made_for = "Z-Image"
    published_in = "Tongyi-MAI/Z-Image-Turbo"
    needed_token = "<|im_start|>"

    def ids_of_prompt(self, prompt: str) -> Tensor:
        """Ids of a prompt as a user's turn, (1, tokens); of one that is too long, its start, with a warning."""
        whole = self(_TURN.format(prompt=prompt))
        if (cut := whole.shape[1] - LENGTH) > 0:
            warn_of_cut_prompt(prompt, cut=cut, limit=LENGTH)
        return whole[:, :LENGTH]
