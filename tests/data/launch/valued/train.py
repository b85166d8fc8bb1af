import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--initialize_model_on_cpu", type=int, default=0)
