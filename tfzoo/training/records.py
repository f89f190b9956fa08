"""What a training remembers of its course: losses by step, figures by epoch."""

import dataclasses
import math


@dataclasses.dataclass
class Record:
    """The course of a training, from its first step, over all interruptions.

    Attributes:
        step: Number of updates made.
        points: [step, loss, learning rate]; the loss is the mean since the point
            before, the learning rate that of the next update.
        epochs: For each finished epoch a dict of `epoch` (from 1), `step` (updates made
            by its end) and the logs of `fit`.
        counted: Sum and weight of the losses of this epoch at the last point, as
            Keras's loss tracker holds them.
        left_out: Steps, from 1, whose update was left out because it was not finite.
    """

    step: int = 0
    points: list = dataclasses.field(default_factory=list)
    epochs: list = dataclasses.field(default_factory=list)
    counted: list = dataclasses.field(default_factory=lambda: [0.0, 0.0])
    left_out: list = dataclasses.field(default_factory=list)

    def add_point(self, total, weight, learning_rate):
        """Adds a point from the loss tracker's sum and weight in this epoch.

        Its loss is NaN where every update since the point before was left out.
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
        """Dict of a log's name -> its values by epoch; None where an epoch lacks it."""
        names = dict.fromkeys(name for epoch in self.epochs for name in epoch)
        return {name: [e.get(name) for e in self.epochs] for name in names}

    def as_json(self):
        """The course for readers of `metrics.json`: NaN, which JSON lacks, is null."""
        steps, losses, rates = (
            zip(*self.points, strict=True) if self.points else [()] * 3
        )
        return {
            "epochs": [
                {name: finite(value) for name, value in epoch.items()}
                for epoch in self.epochs
            ],
            "loss_by_step": {
                "step": list(steps),
                "loss": [finite(loss) for loss in losses],
                "learning_rate": list(rates),
            },
            "left_out": list(self.left_out),
        }


def finite(value):
    """The value; None instead of a NaN or an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
