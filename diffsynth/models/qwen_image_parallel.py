"""How the Qwen-Image DiT is cut across devices: along its tokens, the prompt's and the pictures' as one sequence.

Every device has all weights. The sequence is that of the joint attention, the prompt first, cut into parts as even as
can be: the first devices hold tokens of the prompt, or of both, the others of the pictures alone. Only the attention
looks at the tokens of other devices. Of the result, each device has the tokens of the picture that is made, if any;
what belongs to pictures that are edited ends with the last block.
"""

from __future__ import annotations

from inspect import signature
from math import prod

from torch import Tensor

from diffsynth.core.parallel.sequence import SequenceParallel
from diffsynth.models.layers import PATCH, unpatched
from diffsynth.models.qwen_image_dit import LastNorm, QwenImageDiT
from diffsynth.models.rotary import RotaryOfOwnTokens


def heads(dit: QwenImageDiT) -> int:
    """Of its attention, which are shared out among devices."""
    return dit.blocks[0].attn.num_heads


def cut(dit: QwenImageDiT, sequence: SequenceParallel) -> None:
    """From now on each device computes its part of the tokens, and gets the whole velocity.

    Its weights, its type, LoRA and memory control stay as they are. The forward has to be called on all devices of the
    sequence alike.
    """
    tokens = JointTokens(sequence)

    def put_together(made: Tensor, rows: int, columns: int) -> Tensor:
        return unpatched(tokens.put_together(made), rows, columns)

    dit.register_forward_pre_hook(tokens.share_out, with_kwargs=True)
    dit.txt_norm.register_forward_pre_hook(tokens.of_text)
    dit.img_in.register_forward_pre_hook(tokens.of_pictures)
    dit.norm_out.register_forward_pre_hook(tokens.of_the_made_picture)
    dit.unpatch = put_together
    dit.made_here = tokens.made_here
    dit.own = tokens.own
    dit.rotary = RotaryOfOwnTokens(dit.rotary, sequence)
    for block in dit.blocks:
        block.attn.attend = sequence.attend


class JointTokens:
    """Which tokens of the prompt and of the pictures are this device's, in the call that runs."""

    def __init__(self, sequence: SequenceParallel) -> None:
        self._sequence = sequence
        self._text = self._made = 0

    def share_out(self, dit: QwenImageDiT, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Before the forward: deals out the tokens of what it is called with."""
        given = signature(type(dit).forward).bind(dit, *args, **kwargs).arguments
        context, entities = given["context"], given.get("entities")
        texts = [context] if entities is None else entities.texts(context)
        self._text = sum(text.shape[1] for text in texts)
        self._made, *edited = (
            prod(picture.shape[2:]) // PATCH**2 for picture in (given["latents"], *given.get("edit_latents", ()))
        )
        self._sequence.share_out(self._text + self._made + sum(edited))

    def of_text(self, norm: object, given: tuple[Tensor]) -> tuple[Tensor]:
        """This device's tokens of the whole prompt (B, L, text_dim)."""
        return (given[0][:, self._sequence.part],)

    def of_pictures(self, layer: object, given: tuple[Tensor]) -> tuple[Tensor]:
        """This device's tokens of all pictures (B, S, features)."""
        start, stop = (max(0, end - self._text) for end in self._ends)
        return (given[0][:, start:stop],)

    def of_the_made_picture(self, norm: LastNorm, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Leaves out what this device has of pictures that are edited, which come last."""
        tokens, time = given
        return tokens[:, : _overlap(self._sequence.part, self._of_made)], time

    def made_here(self, made: int) -> int:
        """How many tokens of the made picture are this device's."""
        return _overlap(self._sequence.part, self._of_made)

    def own(self, tokens: Tensor) -> Tensor:
        """Of all the made picture's tokens (B, S, width) those that are this device's."""
        start, stop = (min(max(0, end - self._text), self._made) for end in self._ends)
        return tokens[:, start:stop]

    def put_together(self, tokens: Tensor) -> Tensor:
        """The made picture's tokens (B, S, features) of all devices."""
        return self._sequence.gather(tokens, [_overlap(part, self._of_made) for part in self._sequence.parts])

    @property
    def _ends(self) -> tuple[int, int]:
        """Of this device's part of the sequence."""
        return self._sequence.part.start, self._sequence.part.stop

    @property
    def _of_made(self) -> slice[int, int, int]:
        return slice(self._text, self._text + self._made)


def _overlap(one: slice[int, int, int], other: slice[int, int, int]) -> int:
    """How many tokens are in both."""
    return max(0, min(one.stop, other.stop) - max(one.start, other.start))
