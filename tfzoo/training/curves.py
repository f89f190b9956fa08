"""Learning curves: a PNG file, and event logs for TensorBoard."""

import pathlib

import keras

from tfzoo.files import written_beside

SUFFIX = ".tfzoo"  # of the event logs, which TensorBoard knows by the name before it


def save_curves(record, path):
    """Plots the loss by step and the metrics by epoch to a PNG file.

    Args:
        record: A `Record`.
        path: The file; an existing one is replaced.
    """
    from matplotlib.figure import Figure  # without pyplot, so without a display

    history = record.history
    shown = _shown(history)
    figure = Figure(figsize=(6 * (1 + bool(shown)), 4), layout="constrained")
    panels = figure.subplots(1, 1 + bool(shown), squeeze=False)[0]
    if record.points:
        steps, losses, _ = zip(*record.points, strict=True)
        panels[0].plot(steps, losses, label="loss, training", linewidth=1)
    if "val_loss" in history:
        _by_epoch(panels[0], history, ["val_loss"], first_colour=1)
    panels[0].set_ylabel("loss")
    if shown:
        _by_epoch(panels[1], history, shown)
        panels[1].set_ylabel("accuracy" if "accuracy" in shown[0] else "metric")
    for panel in panels:
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend()
    with written_beside(path, replace=True) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _shown(history):
    """The metrics of the second panel: accuracies if there are any, else all."""
    figures = [n for n in history if n not in ("epoch", "step") and "loss" not in n]
    return [n for n in figures if "accuracy" in n] or figures


def _by_epoch(panel, history, names, first_colour=0):
    """Plots with one colour per metric: training dashed, validation with markers."""
    figures = list(dict.fromkeys(name.removeprefix("val_") for name in names))
    for name in names:
        points = [
            (step, value)
            for step, value in zip(history["step"], history[name], strict=True)
            if value is not None
        ]
        figure, validation = name.removeprefix("val_"), name.startswith("val_")
        panel.plot(
            *zip(*points, strict=True),
            color=f"C{first_colour + figures.index(figure)}",
            marker="o" if validation else ".",
            linestyle="-" if validation else "--",
            label=f"{figure.replace('_', ' ')}, "
            + ("validation" if validation else "training"),
        )


class EventLogs(keras.callbacks.Callback):
    """Event logs for TensorBoard, as if the training had never been interrupted.

    They are rewritten from the record whenever a training starts or resumes, so no step
    appears twice; other files there stay. Does not need TensorBoard, which TensorFlow
    no longer installs.

    Args:
        record: The `Record` to log.
        directory: Output directory; gets the subdirectories `training` and
            `validation`.
    """

    def __init__(self, record, directory):
        super().__init__()
        import tensorflow as tf

        self.record = record
        places = [pathlib.Path(directory) / name for name in ("training", "validation")]
        for place in places:
            for old in place.glob(f"*{SUFFIX}"):
                old.unlink()
        self.training, self.validation = (
            tf.summary.create_file_writer(str(place), filename_suffix=SUFFIX)
            for place in places
        )
        self.num_points = self.num_epochs = 0
        self._catch_up()

    def on_train_batch_end(self, batch, logs=None):
        self._catch_up()

    def on_epoch_end(self, epoch, logs=None):
        self._catch_up()
        self.training.flush()
        self.validation.flush()

    def close(self):
        """Closes the logs."""
        self.training.close()
        self.validation.close()

    def _catch_up(self):
        for step, loss, learning_rate in self.record.points[self.num_points :]:
            _write(self.training, step, "loss_by_step", loss)
            _write(self.training, step, "learning_rate", learning_rate)
        for epoch in self.record.epochs[self.num_epochs :]:
            for name, value in epoch.items():
                validation = name.startswith("val_")
                writer = self.validation if validation else self.training
                if name != "step":
                    name = name.removeprefix("val_")
                    _write(writer, epoch["step"], name, value)
        self.num_points = len(self.record.points)
        self.num_epochs = len(self.record.epochs)


def _write(writer, step, name, value):
    """Writes a scalar; `tf.summary.scalar` would require TensorBoard."""
    import tensorflow as tf

    value = tf.compat.v1.Summary.Value(tag=name, simple_value=value)
    summary = tf.compat.v1.Summary(value=[value])
    with writer.as_default():
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)
