"""Runs: an output directory that one command fills, and continues when interrupted."""

import contextlib
import importlib.metadata
import os
import pathlib
import shutil
import tempfile

import keras

from tfzoo.errors import OutputError
from tfzoo.files import write_json
from tfzoo.training.callbacks import Progress, Recording
from tfzoo.training.curves import EventLogs, save_curves
from tfzoo.training.records import Record, finite
from tfzoo.training.run_directory import (
    locked,
    plain,
    read_description,
    require_same,
)
from tfzoo.training.saving import Saving
from tfzoo.training.snapshots import STATE

MIN_POINTS = 500  # of the loss curve, where there are so many steps
DISTRIBUTIONS = ("tfzoo", "tensorflow", "keras", "numpy", "tokenizers")


class Run:
    """An output directory, for as long as one process works in it.

    It holds `run.json` (arguments, versions, fingerprint of the data), `checkpoints/`,
    `logs/` for TensorBoard, and in the end `metrics.json`, `curves.png` and the result.
    The same command continues: on a CPU of as many cores the weights at the end are,
    bit for bit, those of a run that nothing interrupted, also after SIGKILL.

        with Run(output, arguments, data=fingerprint(paths)) as run:
            if run.finished:
                return
            ...  # seed, build and compile the model
            run.fit(model, make_dataset, steps_per_epoch=100, epochs=3)
            run.finish(model.save_to_preset, {"accuracy": accuracy})

    Args:
        output: The directory. It must be new, empty, or of the same run.
        arguments: Dict of all that decides the result, of values that JSON holds or
            paths.
        data: What identifies the data, as `fingerprint` gives it.
        steps_between_saves: Updates between two checkpoints, at most.
        seconds_between_saves: Seconds between two checkpoints, at most.

    Raises:
        OutputError: the directory holds something else, or a run with other arguments,
            versions or data that has a checkpoint, or another process works in it.
    """

    def __init__(
        self,
        output,
        arguments,
        *,
        data=None,
        steps_between_saves=500,
        seconds_between_saves=300,
    ):
        self.directory = pathlib.Path(output)
        self.steps_between_saves = steps_between_saves
        self.seconds_between_saves = seconds_between_saves
        self.record = Record()
        self._description = {
            "arguments": plain(arguments),
            "versions": {d: importlib.metadata.version(d) for d in DISTRIBUTIONS},
            "data": plain(data or {}),
        }
        self._lock = locked(self.directory)
        try:
            self.finished = self._open()
        except OutputError:
            self.close()
            raise
        if self.finished:
            print(f"{self.directory} holds this run, and it is finished.")

    def _open(self):
        for leftover in self.directory.glob(".run.json.*"):
            shutil.rmtree(leftover)  # of a process killed while it wrote
        path = self.directory / "run.json"
        if path.exists():
            former = read_description(path)
            if not self._nothing_trained():
                require_same(path, former, self._description)
                return bool(former.get("finished"))
        elif any(self.directory.iterdir()):
            raise OutputError(
                "The output directory must be new, empty, or hold a run.",
                path=self.directory,
                fix="Name another output or move its content away.",
            )
        write_json(path, {"finished": False, **self._description})
        return False

    def _nothing_trained(self):
        """Whether a run ended before its first checkpoint, so that no work is lost."""
        begun = {"run.json", "checkpoints", "logs"}
        return begun.issuperset(p.name for p in self.directory.iterdir()) and not any(
            self.checkpoints.glob("*-*/" + STATE)
        )

    @property
    def checkpoints(self):
        """The directory of the checkpoints."""
        return self.directory / "checkpoints"

    def close(self):
        """Lets other processes work in the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def fit(
        self,
        model,
        make_dataset,
        *,
        steps_per_epoch,
        epochs=None,
        total_steps=None,
        validation_data=None,
        validation_steps=None,
        callbacks=(),
    ):
        """Trains from the last checkpoint, or from the start, to the end.

        Args:
            model: A compiled `keras.Model`, built the same way (seeds too) each time.
            make_dataset: start_step -> `tf.data.Dataset` of the batches from that step
                (from 0) to the training's end or beyond. A pure function.
            steps_per_epoch: Updates between two evaluations; of endless data, any
                number.
            epochs: Number of epochs, or else
            total_steps: number of updates; the last epoch may then be shorter.
            validation_data: As in `keras.Model.fit`; evaluated after each epoch.
            validation_steps: As in `keras.Model.fit`.
            callbacks: Keras callbacks. What they remember is not restored, but for
                `KeepBest`.

        Returns:
            The `Record` of the whole training.

        Raises:
            OutputError: no checkpoint is intact, or they are of another model.
            TfzooError: the loss is not finite.
        """
        total_steps = _total_steps(steps_per_epoch, epochs, total_steps)
        _require_restorable(model)
        recording = Recording(
            self.record,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            steps_per_point=max(1, total_steps // MIN_POINTS),
        )
        saving = Saving(
            self.record,
            self.checkpoints,
            steps_per_epoch=steps_per_epoch,
            total_steps=total_steps,
            steps_between=self.steps_between_saves,
            seconds_between=self.seconds_between_saves,
        )
        saving.restore(model, make_dataset)
        with contextlib.ExitStack() as stack:
            progress = Progress(self.record, total_steps)
            logs = EventLogs(self.record, self.directory / "logs")
            stack.callback(progress.close)
            stack.callback(logs.close)
            stack.enter_context(saving.on_termination())
            for part in _parts(self.record.step, steps_per_epoch, total_steps):
                model.fit(
                    make_dataset(self.record.step),
                    **part,
                    validation_data=validation_data,
                    validation_steps=validation_steps,
                    callbacks=[recording, *callbacks, saving, progress, logs],
                    shuffle=False,  # the dataset's own order
                    verbose=0,
                )
                if model.stop_training:
                    break
        return self.record

    def finish(self, save, metrics):
        """Writes the result, `metrics.json` and `curves.png`, and ends the run.

        Args:
            save: path -> writes the result to that directory, which it makes. What it
                writes is moved into the run's directory. None: there is no result.
            metrics: Dict of the final figures.
        """
        if save is not None:
            self._save_result(save)
        save_curves(self.record, self.directory / "curves.png")
        figures = {name: finite(value) for name, value in metrics.items()}
        write_json(
            self.directory / "metrics.json",
            {"metrics": figures, **self.record.as_json()},
        )
        write_json(self.directory / "run.json", {"finished": True, **self._description})
        self.finished = True

    def _save_result(self, save):
        """Moves entry by entry; a run killed meanwhile does all of it again."""
        for leftover in self.directory.glob(".result-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=".result-") as top:
            beside = pathlib.Path(top) / "result"
            save(beside)
            for entry in beside.iterdir():
                target = self.directory / entry.name
                if target.is_dir():
                    shutil.rmtree(target)
                os.replace(entry, target)


def _total_steps(steps_per_epoch, epochs, total_steps):
    if (epochs is None) == (total_steps is None):
        raise ValueError(
            "Either epochs or total_steps must be given. "
            f"Received: epochs={epochs}, total_steps={total_steps}"
        )
    if total_steps is None:
        total_steps = steps_per_epoch * epochs
    if steps_per_epoch < 1 or total_steps < 1:
        raise ValueError(
            "steps_per_epoch, epochs and total_steps must be 1 or more. Received: "
            f"steps_per_epoch={steps_per_epoch}, {total_steps} steps in all"
        )
    return total_steps


def _require_restorable(model):
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Run.fit needs the TensorFlow backend, where variables are up to date "
            f"after every step. Received: {keras.backend.backend()!r}"
        )
    if not (model.compiled and model.built):
        raise ValueError(
            "The model must be compiled and built. "
            f"Received: compiled={model.compiled}, built={model.built}"
        )
    if getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema:
        raise ValueError(
            "use_ema must be False: fit puts the averages in the weights' place "
            "whenever it returns, which happens within a run. Received: use_ema=True"
        )


def _parts(step, steps_per_epoch, total_steps):
    """The calls of `fit`: the rest of an epoch, whole epochs, a shorter last one."""
    while step < total_steps:
        epoch, done = divmod(step, steps_per_epoch)
        whole = (total_steps - step) // steps_per_epoch
        if done or not whole:
            steps, epochs = min(steps_per_epoch - done, total_steps - step), 1
        else:
            steps, epochs = steps_per_epoch, whole
        yield dict(initial_epoch=epoch, epochs=epoch + epochs, steps_per_epoch=steps)
        step += steps * epochs
