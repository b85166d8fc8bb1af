"""`diffsynth-port verify`: run scripts and their ported forms, small, and tell whether they make the same.

paths -> scripts (the CUDA form and the ported form) -> three ways of running each -> verdicts -> report

A script that runs a pipeline makes frames; a launch script, laid out in a folder with what it launches, trains.

What runs the scripts is `python -m script_trial`, in processes of its own: nothing here imports torch.
"""
