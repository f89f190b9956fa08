"""Runs: output directories that a command fills, and continues if interrupted."""

import contextlib
import shutil
import sys

from tfzoo.errors import OutputError, TfzooError, about, printable
from tfzoo.files import local_path, remove_leftovers, write_json
from tfzoo.training.callbacks import Progress, Recording
from tfzoo.training.curves import EventLogs, save_curves
from tfzoo.training.faults import (
    Rewind,
    Watching,
    examples_of_steps,
    not_finite,
    require_policy,
)
from tfzoo.training.finite_updates import can_be_guarded, guarded
from tfzoo.training.keras_callbacks import (
    have_stopped,
    require_resumable,
    require_usable,
)
from tfzoo.training.records import Record, finite
from tfzoo.training.run_directory import (
    PROCESS,
    Lock,
    changed_results,
    digests,
    is_unused,
    move_result,
    new_result,
    plain,
    read_description,
    refuse_foreign,
    remove_all_leftovers,
    require_same,
    require_space_for_run,
    what_is_kept,
)
from tfzoo.training.run_steps import (
    last_step_of_epoch,
    number_of_steps,
    parts_of_run,
    require_restorable,
)
from tfzoo.training.saving import SIGNALS, Saving
from tfzoo.training.snapshots import STATE, names_in
from tfzoo.training.versions import made_with, tell_changes

MIN_POINTS = 500  # of the loss curve, if there are that many steps


class Run:
    """An output directory in use by one process, for a training that can be resumed.

    It holds `run.json` (arguments, versions, cores, fingerprint of the data),
    `checkpoints/`, `logs/` for TensorBoard, and at the end the result, `metrics.json`,
    and the loss by step in `curves.json` and `curves.png`. The same command continues
    an interrupted run: on a CPU with the same number of cores the final weights are,
    bit for bit, those of an uninterrupted run, even after SIGKILL. After Ctrl-C,
    SIGTERM or SIGHUP, at most the running step is lost. `checkpoints` and `logs` may be
    links to empty directories on another disk.

        with Run(output, arguments, data=fingerprint(paths, output=output)) as run:
            if run.finished:
                return
            ...  # seed, build and compile the model
            run.fit(model, make_dataset, steps_per_epoch=100, epochs=3)
            run.finish(model.save_to_preset, {"accuracy": accuracy})

    Args:
        output: The directory. It must be new, empty, or contain the same run.
        arguments: Dict of everything that determines the result; values must be JSON
            values or paths.
        data: Fingerprint of the data, from `fingerprint`.
        steps_between_saves: Maximum number of updates between two checkpoints.
        seconds_between_saves: Maximum number of seconds between two checkpoints.
        on_non_finite: What to do if a loss or a gradient is not finite; nothing is
            updated then. "stop" raises a `TfzooError`; "skip" skips the update;
            "rewind" goes back to the last checkpoint and skips the update from there.
            May differ between the processes of a run. None: as the model was compiled,
            or else "stop".

    Raises:
        OutputError: the directory contains something else; or a run with other
            arguments or data that has a checkpoint; or another process uses it. Other
            versions or cores are told in a line on stderr.
    """

    def __init__(
        self,
        output,
        arguments,
        *,
        data=None,
        steps_between_saves=500,
        seconds_between_saves=300,
        on_non_finite=None,
    ):
        if on_non_finite is not None:
            require_policy(on_non_finite)
        self.on_non_finite = on_non_finite
        self._model, self._results = None, {}
        self.directory = local_path(output)
        self.steps_between_saves = steps_between_saves
        self.seconds_between_saves = seconds_between_saves
        self.record = Record()
        self._description = {
            "arguments": plain(arguments),
            **made_with(),
            "data": plain(data or {}),
        }
        self._lock = Lock(self.directory)
        self.finished = False
        try:
            self.finished = self._open()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        if self.finished:
            print(f"{printable(self.directory)}: this run is already finished.")
            for name in changed_results(self.directory):
                print(
                    f"warning: {self.directory / name}: changed since it was written.",
                    file=sys.stderr,
                )

    def _open(self):
        remove_all_leftovers(self.directory)
        path = self.directory / "run.json"
        if path.exists():
            former = read_description(path)
            if not self._nothing_trained():
                require_same(path, former, self._description)
                self._results = former.get("results", {})
                if former["finished"]:
                    return True
                self._description |= tell_changes(path, former, self._description)
            else:
                shutil.rmtree(self.checkpoints / "step-000000000", ignore_errors=True)
        elif not is_unused(self.directory):
            raise OutputError(
                "The output directory must be new, empty, or contain a run.",
                path=self.directory,
                fix="Choose another output or move its content away.",
            )
        self._describe(finished=False)
        return False

    def _nothing_trained(self):
        """Whether a run ended before its first checkpoint, so that no work is lost."""
        first = self.checkpoints / "step-000000000"  # from a run that may rewind
        begun = {"run.json", "checkpoints", "logs", PROCESS}
        places = [self.checkpoints / name for name in names_in(self.checkpoints)]
        return begun.issuperset(p.name for p in self.directory.iterdir()) and not any(
            place != first and "-" in place.name and (place / STATE).exists()
            for place in places
        )

    @property
    def checkpoints(self):
        """The directory of the checkpoints."""
        return self.directory / "checkpoints"

    def close(self):
        """Releases the directory for other processes."""
        self._lock.release()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        code = error.code if isinstance(error, SystemExit) else None
        by_signal = code in [128 + number for number in SIGNALS]
        is_interrupted = by_signal or isinstance(
            error, KeyboardInterrupt | BrokenPipeError
        )
        if is_interrupted and not self.finished:
            with contextlib.suppress(OSError):  # the terminal may have hung up
                print(what_is_kept(self.directory), file=sys.stderr)
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
        rows=None,
    ):
        """Trains from the last checkpoint, or from the beginning, to the end.

        Args:
            model: A compiled `keras.Model`, built the same way each time, with the
                same seeds.
            make_dataset: Pure function of `start_step` (from 0) that returns a
                `tf.data.Dataset` of the batches from that step to the end of the
                training or beyond.
            steps_per_epoch: Number of updates between two evaluations; with endless
                data, any number.
            epochs: Number of epochs. Give either this or `total_steps`.
            total_steps: Number of updates; the last epoch may then be shorter.
            validation_data: As in `keras.Model.fit`; evaluated after each epoch.
            validation_steps: As in `keras.Model.fit`.
            callbacks: Keras callbacks. What `EarlyStopping`, `ReduceLROnPlateau` and
                `ModelCheckpoint` remember survives an interruption; so do attributes of
                your own callbacks (JSON values) named in their attribute `remembered`.
                One that adds figures to the logs of an epoch has an attribute
                `adds_logs`, which is True: it precedes what reads them.
                `CSVLogger` repeats the epochs that a killed run repeats.
            rows: Function of `start_step` that returns the indices of that batch's
                examples in the user's data, for messages. None if not known.

        Returns:
            The `Record` of the whole training.

        Raises:
            OutputError: no checkpoint is intact, they are of another model, or the disk
                lacks the space for them.
            ValueError: a callback cannot work in a run; the message says why.
            TfzooError: a loss, gradient or weight is not finite. The message names the
                step and its examples; see `on_non_finite`.
        """
        total_steps = number_of_steps(steps_per_epoch, epochs, total_steps)
        require_restorable(model)
        callbacks = list(callbacks)
        require_usable(callbacks, model.optimizer)
        require_resumable(callbacks)
        policy = self._policy(model)
        watching = Watching(
            policy,
            record=self.record,
            total_steps=total_steps,
            examples=examples_of_steps(
                make_dataset, getattr(model, "tokenizer", None), rows
            ),
            others=callbacks,
        )
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
            check=watching.check_weights,
            callbacks=callbacks,
        )
        is_restored = saving.restore(model, make_dataset)
        require_space_for_run(self.directory, model, callbacks)
        if is_restored:
            step = self.record.step + (saving.last_logs is not None)
            name = printable(self.directory)
            print(f"{name}: continues after step {step} of {total_steps}.")
        elif policy == "rewind":
            saving.save(model)  # so that there is a checkpoint to go back to
        self._model = model
        options = dict(
            validation_data=validation_data,
            validation_steps=validation_steps,
            callbacks=[
                watching,
                *(c for c in callbacks if _adds_logs(c)),
                recording,
                *(c for c in callbacks if not _adds_logs(c)),
                saving,
            ],
        )
        with about(self.directory), guarded(model):
            while not have_stopped(callbacks, saving.remembered):
                try:
                    self._train(model, make_dataset, saving, **options)
                    break
                except Rewind as fault:
                    self._rewind(fault, lambda: saving.restore(model, make_dataset))
        if left_out := len(self.record.left_out):
            print(
                f"warning: {left_out} of {self.record.step} updates were skipped "
                "because they were not finite.",
                file=sys.stderr,
            )
        return self.record

    def _train(self, model, make_dataset, saving, callbacks, **options):
        """Calls `fit` for every part of the run that is left."""
        with contextlib.ExitStack() as stack:
            progress = Progress(self.record, saving.total_steps, saving.save_latest)
            logs = EventLogs(self.record, self.directory / "logs")
            stack.callback(progress.close)
            stack.callback(logs.close)
            stack.enter_context(saving.on_signals())

            def fit(part):
                model.fit(
                    make_dataset(self.record.step),
                    **part,
                    **options,
                    callbacks=[*callbacks, progress, logs],
                    shuffle=False,  # the dataset's own order
                    verbose=0,
                )
                return model.stop_training

            per_epoch, has_stopped = saving.steps_per_epoch, False
            if saving.last_logs is not None:
                with saving.replayed(model):
                    has_stopped = fit(last_step_of_epoch(self.record.step, per_epoch))
            for part in parts_of_run(self.record.step, per_epoch, saving.total_steps):
                if has_stopped:
                    break
                has_stopped = fit(part)

    def _rewind(self, fault, restore):
        left_out = {*self.record.left_out, fault.step}
        restore()
        self.record.left_out = sorted({*self.record.left_out, *left_out})
        print(
            f"warning: {fault} The run continues from step {self.record.step} and "
            f"skips update {fault.step}.",
            file=sys.stderr,
        )

    def _policy(self, model):
        compiled = getattr(model, "on_non_finite", "stop")
        policy = self.on_non_finite or compiled
        if policy != "stop" and not can_be_guarded(model):
            raise ValueError(
                'on_non_finite must be "stop" for a model with its own train_step, '
                f"whose updates cannot be skipped. Received: {policy!r}"
            )
        return policy

    def finish(self, save, metrics):
        """Writes the result, the metrics and the curves, and finishes the run.

        A run that trained nothing itself, but only in its parts, has no curves.

        Args:
            save: Function of a path that creates a directory there with the result,
                which is then moved into the run's directory. None for no result.
            metrics: Dict of the final metrics.

        Raises:
            OutputError: the result would overwrite a file that the run did not write,
                or cannot be written. The training is kept.
            TfzooError: the weights are not finite.
        """
        if self._model is not None and (bad := not_finite(self._model.weights)):
            raise TfzooError(
                "Every weight must be finite. Received NaN or infinity in "
                f"{', '.join(bad[:3])}.",
                path=self.directory,
            )
        with new_result(self.directory) as result:
            result.mkdir() if save is None else save(result)
            if self.record.step:
                save_curves(self.record, result / "curves.png")
                write_json(result / "curves.json", self.record.curves_as_json())
            figures = {name: finite(value) for name, value in metrics.items()}
            write_json(
                result / "metrics.json",
                {"metrics": figures, **self.record.as_json()},
            )
            remove_leftovers(result)
            refuse_foreign(result, self.directory, self._results)
            self._results = digests(result)
            self._describe(finished=False)  # from now on these files are the run's
            move_result(result, self.directory)
        self._describe(finished=True)
        self.finished = True

    def _describe(self, *, finished):
        content = {"finished": finished, **self._description}
        if self._results:
            content["results"] = self._results
        write_json(self.directory / "run.json", content)


def _adds_logs(callback):
    return getattr(callback, "adds_logs", False)
