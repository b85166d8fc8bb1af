"""Trains a Wan2.1 or Wan2.2 model, or either expert of an A14B, whole or by a LoRA.

    accelerate launch [--config_file CONFIG] train.py --task sft ...          encode and train
    accelerate launch [--config_file CONFIG] train.py --task sft:data_process ...  encode the data set once,
    accelerate launch [--config_file CONFIG] train.py --task sft:train ...         then train without the encoders

What a model takes besides a prompt is named by --extra_inputs: columns of the metadata, whose files --data_file_keys names
too. input_image and end_image are the clip's own first and last frame where there is no such column.

Task direct_distill, with the same two stages, teaches a network to end where a teacher's generation ended.
"""

from diffsynth.diffusion.training.errors import exit_with_message
from diffsynth.diffusion.training.run_task import family_parser, run_script
from diffsynth.families.wan import FAMILY


def main():
    run_script(FAMILY, family_parser(FAMILY, __doc__))


if __name__ == "__main__":
    exit_with_message(main)
