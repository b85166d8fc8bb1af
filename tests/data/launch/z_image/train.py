import argparse

import training_flags as flags

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    flags.add_models(parser)
    flags.add_patch(parser)
    parser.parse_args()
