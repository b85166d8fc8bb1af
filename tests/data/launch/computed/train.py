import argparse

parser = argparse.ArgumentParser()
for name in open("flags.txt").read().split():
    parser.add_argument(f"--{name}", action="store_true")
