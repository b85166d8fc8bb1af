"""Trains Z-Image and Z-Image-Turbo, whole or by a LoRA.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended. On an Ascend
NPU, --enable_npu_patch computes the norms and the rotary embedding by its fused operators.
"""

from diffsynth.diffusion.training.errors import exit_with_message
from diffsynth.diffusion.training.run_task import family_parser, run_script
from diffsynth.families.z_image import FAMILY


def main():
    run_script(FAMILY, family_parser(FAMILY, __doc__))


if __name__ == "__main__":
    exit_with_message(main)
