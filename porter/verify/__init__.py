"""`diffsynth-port verify`: run scripts and their ported forms, small, and tell whether they make the same frames.

paths -> scripts (the CUDA form and the ported form) -> three ways of running each -> verdicts -> report

What runs the scripts is `python -m diffsynth.trial`, in processes of its own: nothing here imports torch.
"""
