"""`Plan`: how examples are batched, for all tasks."""

import typing

BATCH_SIZE = 32


class Plan(typing.NamedTuple):
    """Number of epochs and order of the examples.

    The batches are a pure function of the examples and the plan.

    Attributes:
        batch_size: Examples per batch.
        epochs: Number of epochs.
        shuffle: Whether the order changes from epoch to epoch.
        seed: Seed of the order and all other randomness.
        start_step: Exact number of batches to skip at the start.
    """

    batch_size: int = BATCH_SIZE
    epochs: int = 1
    shuffle: bool = True
    seed: int = 0
    start_step: int = 0
