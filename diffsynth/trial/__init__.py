"""Trying pipelines without their weights: made-up checkpoints in the real layout, and scripts run small.

`python -m diffsynth.trial --help` lists the commands.
"""
