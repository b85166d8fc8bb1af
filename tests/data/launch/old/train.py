"""Has no --initialize_model_on_cpu; a helper beside the one it calls has."""
import argparse

from training_flags import add_models

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    add_models(parser)
    parser.parse_args()
