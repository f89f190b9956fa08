"""One SavedModel of strings in, answers out, that plain TensorFlow loads."""

import logging
import pathlib

import tensorflow as tf

from tfzoo.errors import ExportError, OutputError
from tfzoo.files import written_beside
from tfzoo.serving.configuration import write_configuration
from tfzoo.serving.versions import add_version
from tfzoo.serving.warmup import write_warmup


def export_version(base, served):
    """Writes the next version of a model below `base`, whole or not at all.

    Beside the versions stand `models.config` and `batching_parameters.txt`, written
    once and never replaced.

    Args:
        base: Folder of the versions, such as saved_models/NAME; NAME becomes the
            model's name in TF Serving. Made where it is missing.
        served: `ServedModel`, of one of the functions `..._signatures`.

    Returns:
        Path of the new version, base/N+1 for the highest version N there, or base/1.

    Raises:
        OutputError: `base` cannot be written or holds something else.
        ExportError: a label cannot stand in a line of `labels.txt`, or a variable is
            not finite.
    """
    base = pathlib.Path(base)
    _label_lines(served.labels)
    _refuse_non_finite(served)

    def write(directory):
        _write(directory, served)
        write_configuration(base)

    return add_version(base, write)


def export_saved_model(path, served):
    """Writes a model as one SavedModel, whole or not at all.

    Args:
        path: Folder that it becomes; missing or empty.
        served: As of `export_version`.

    Raises:
        OutputError: something stands at `path`, or it cannot be written.
        ExportError: a label cannot stand in a line of `labels.txt`, or a variable is
            not finite.
    """
    _refuse_non_finite(served)
    with written_beside(path, directory=True) as directory:
        _write(directory, served)


def _write(directory, served):
    """The SavedModel and what stands beside it, into an empty folder.

    Every variable that a signature reads is stored once, whatever object owned it, and
    nothing else is: the result needs neither Keras nor this package.
    """
    root = tf.Module()
    root.weights = _variables(served)
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        tf.saved_model.save(root, str(directory), signatures=dict(served.functions))
        _name_methods(directory, served.methods)
    except tf.errors.OpError as e:
        reason = e.message.splitlines()[0]
        raise OutputError(f"Cannot write the output: {reason}.", path=directory) from e
    finally:
        logger.setLevel(level)
    extra = directory / "assets.extra"
    extra.mkdir()
    if served.labels is not None:
        (extra / "labels.txt").write_bytes(_label_lines(served.labels))
    write_warmup(extra / "tf_serving_warmup_requests", served.warmup)


def _variables(served):
    """Every variable that a signature reads, once, by name."""
    variables = {
        id(variable): variable
        for function in served.functions.values()
        for variable in function.variables
    }
    return sorted(variables.values(), key=lambda variable: variable.name)


def _refuse_non_finite(served):
    for variable in _variables(served):
        if not variable.dtype.is_floating:
            continue
        wrong = ~tf.math.is_finite(variable)
        if tf.reduce_any(wrong):
            name = getattr(variable, "path", variable.name)
            place = [int(i) for i in tf.where(wrong)[0]]
            value = float(tf.boolean_mask(variable, wrong)[0])
            raise ExportError(
                f"The weights must be finite. Received: {name}{place} = {value}.",
                fix="Export an earlier checkpoint, or train again.",
            )


def _name_methods(directory, methods):
    """Says which of TF Serving's APIs a signature is for; TensorFlow says predict."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(
        str(directory)
    )
    for name, method in methods.items():
        updater.replace_method_name(name, f"tensorflow/serving/{method}")
    updater.save()


def _label_lines(labels):
    for label in labels or ():
        if "\n" in label or "\r" in label:
            raise ExportError(
                f"A label must be one line of labels.txt. Received: {label!r}.",
                fix="Rename it in the training data.",
            )
    return "".join(f"{label}\n" for label in labels or ()).encode()
