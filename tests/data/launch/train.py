import argparse

from training_flags import add_memory, add_models

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for add in (add_models, add_memory):
        add(parser)
    parser.parse_args()
