"""Trains Qwen-Image and its kin, whole or by a LoRA, and their ControlNets.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended. The Edit
models learn from rows that name pictures to edit: --extra_inputs edit_image, with one file for Qwen-Image-Edit and a
list of them, in json or jsonl metadata, for Edit-2509 and,
with --zero_cond_t, for Edit-2511. --extra_inputs names in the same way what else a model takes: context_image,
blockwise_controlnet_image (and blockwise_controlnet_inpaint_mask), eligen_entity_prompts and eligen_entity_masks, both
lists, or layer_num and layer_input_image, where the column image is the list of all layers.
"""

from diffsynth.diffusion.training.errors import exit_with_message
from diffsynth.diffusion.training.run_task import family_parser, run_script
from diffsynth.families.qwen_image import FAMILY


def main():
    run_script(FAMILY, family_parser(FAMILY, __doc__))


if __name__ == "__main__":
    exit_with_message(main)
