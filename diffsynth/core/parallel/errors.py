"""What can go wrong between processes. Every process says the same, in one sentence."""


class RankError(RuntimeError):
    """The processes cannot start together, or one of them has ended and the others cannot go on without it."""


class DegreeError(ValueError):
    """Degrees of parallelism that do not fit each other, or the number of processes."""
