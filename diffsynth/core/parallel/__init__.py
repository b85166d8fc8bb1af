"""One generation over several devices: which process is which, who talks to whom, and attention across them.

Knows no model. `join` makes the processes that torchrun started one group, `Mesh` lays them out along the degrees of
parallelism, and `SequenceParallel` computes the attention of a sequence of which each process holds a part.
"""
