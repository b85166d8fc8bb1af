#!/bin/bash
# Trains one epoch, then resumes for another.
set -e
python classifier.py --epochs 1 --samples 32 "$@"
python classifier.py --epochs 2 --samples 32 "$@"
