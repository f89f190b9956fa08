"""Export of a single SavedModel, strings in and answers out, for plain TensorFlow."""

import logging

import tensorflow as tf

from tfzoo.errors import ExportError, OutputError, about, shown
from tfzoo.files import local_path, utf8_path, written_beside
from tfzoo.serving.configuration import write_configuration
from tfzoo.serving.versions import add_version
from tfzoo.serving.warmup import write_warmup


def export_version(base, served):
    """Writes the next version of a model to `base`, atomically.

    Next to the versions, `models.config` and `batching_parameters.txt` are written once
    and never replaced.

    Args:
        base: Directory of the versions, such as saved_models/NAME; NAME becomes the
            model's name in TF Serving. Created if missing.
        served: `ServedModel`, from one of the functions `..._signatures`.

    Returns:
        Path of the new version: base/N+1 for the highest existing version N, or base/1.

    Raises:
        OutputError: `base` cannot be written or contains something else.
        ExportError: a label is not a single line, or a variable is not finite.
    """
    base = local_path(base)
    _check(served, base)

    def write(directory):
        _write(directory, served)
        write_configuration(base)

    return add_version(base, write, size=_num_bytes(served))


def export_saved_model(path, served):
    """Writes a model as a single SavedModel, atomically.

    Args:
        path: Directory of the SavedModel; must be missing or empty.
        served: As in `export_version`.

    Raises:
        OutputError: `path` already exists or cannot be written.
        ExportError: a label is not a single line, or a variable is not finite.
    """
    _check(served, path)
    with written_beside(path, directory=True, size=_num_bytes(served)) as directory:
        _write(directory, served)


def _check(served, path):
    """Raises an error, before anything is written, if the model cannot be."""
    utf8_path(path, OutputError)
    with about(path):
        _label_lines(served.labels)
        _refuse_non_finite(served)


def _write(directory, served):
    """Writes the SavedModel and its extra assets to an empty directory.

    Only the variables that signatures read are stored, each once, whichever object owns
    them: the result depends on neither Keras nor this package.
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
    """The variables that signatures read, each once, sorted by name."""
    variables = {
        id(variable): variable
        for function in served.functions.values()
        for variable in function.variables
    }
    return sorted(variables.values(), key=lambda variable: variable.name)


def _num_bytes(served):
    return sum(v.shape.num_elements() * v.dtype.size for v in _variables(served))


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
                f"All weights must be finite. Received: {name}{place} = {value}.",
                fix="Export an earlier checkpoint, or train again.",
            )


def _name_methods(directory, methods):
    """Sets the TF Serving API of each signature; TensorFlow's default is predict."""
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
                "A label must be a single line, to be written to labels.txt. "
                f"Received: {shown(label)}.",
                fix="Rename it, in the training data or in id2label of config.json.",
            )
    return "".join(f"{label}\n" for label in labels or ()).encode()
