"""In which batches examples come: one plan for all tasks."""

import typing

BATCH_SIZE = 32


class Plan(typing.NamedTuple):
    """How often and in which order all examples come.

    The batches are a pure function of the examples and this.

    Attributes:
        batch_size: Examples per batch.
        epochs: How often all of them come.
        shuffle: Whether the order changes from epoch to epoch.
        seed: Names the order and all that is random.
        start_step: Number of batches that are left out at the beginning, exactly.
    """

    batch_size: int = BATCH_SIZE
    epochs: int = 1
    shuffle: bool = True
    seed: int = 0
    start_step: int = 0
