"""One generation over several devices: which process is which, who talks to whom, and attention across them.

Knows no model. `join` makes the processes that torchrun started one group, `Mesh` lays them out along the degrees of
parallelism, and `SequenceParallel` computes the attention of a sequence of which each process holds a part. What goes
wrong between processes, every one of them says in the same sentence.
"""


class RankError(RuntimeError):
    """The processes cannot start together, or one of them has ended and the others cannot go on without it."""


class DegreeError(ValueError):
    """Degrees of parallelism that do not fit each other, or the number of processes."""
