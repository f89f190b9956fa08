"""The record of a training: losses by step, metrics by epoch."""

import dataclasses
import math


@dataclasses.dataclass
class Record:
    """The history of a training since its first step, across interruptions.

    Attributes:
        step: Number of updates made.
        points: List of [step, loss, learning rate]; the loss is the mean since the
            previous point, the learning rate that of the next update.
        epochs: For each finished epoch, a dict of `epoch` (from 1), `step` (updates
            made by its end) and the logs of `fit`.
        counted: Sum and weight of this epoch's losses at the last point, as in Keras's
            loss tracker.
        left_out: Steps (from 1) whose update was skipped because it was not finite.
    """

    step: int = 0
    points: list = dataclasses.field(default_factory=list)
    epochs: list = dataclasses.field(default_factory=list)
    counted: list = dataclasses.field(default_factory=lambda: [0.0, 0.0])
    left_out: list = dataclasses.field(default_factory=list)

    def add_point(self, total, weight, learning_rate):
        """Adds a point from the loss tracker's sum and weight in this epoch.

        Its loss is NaN if every update since the previous point was skipped.
        """
        new = weight - self.counted[1]
        loss = (total - self.counted[0]) / new if new else math.nan
        self.counted = [total, weight]
        self.points.append([self.step, loss, learning_rate])

    def end_epoch(self, epoch, logs):
        """Adds a finished epoch, numbered from 1."""
        self.epochs.append({"epoch": epoch, "step": self.step, **logs})
        self.counted = [0.0, 0.0]

    @property
    def history(self):
        """Dict of log name -> values by epoch; None if an epoch lacks the log."""
        names = dict.fromkeys(name for epoch in self.epochs for name in epoch)
        return {name: [e.get(name) for e in self.epochs] for name in names}

    def as_json(self):
        """The epochs for `metrics.json`; NaN, which JSON lacks, becomes null."""
        return {
            "epochs": [
                {name: finite(value) for name, value in epoch.items()}
                for epoch in self.epochs
            ],
            "left_out": list(self.left_out),
        }

    def curves_as_json(self):
        """The points for `curves.json`: lists of `step`, `loss`, `learning_rate`."""
        steps, losses, rates = (
            zip(*self.points, strict=True) if self.points else [()] * 3
        )
        return {
            "step": list(steps),
            "loss": [finite(loss) for loss in losses],
            "learning_rate": list(rates),
        }


def finite(value):
    """The value, or None in place of NaN or infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
