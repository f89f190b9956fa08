"""Sources to targets by a preset or by a SavedModel, for commands."""

import numpy as np
import tensorflow as tf

from tfzoo.errors import ExportError, require_whole
from tfzoo.files import local_path
from tfzoo.serving.versions import newest_version
from tfzoo.tasks.seq2seq.seq2seq_lm import Seq2SeqLM
from tfzoo.tasks.side_by_side import mapped

NUM_BEAMS = 4  # of a preset, if the user sets no other number
CHUNK = 500  # texts in memory at a time
FLOAT = 4  # bytes of a weight
PER_ROW = ("max_new_tokens", "length_penalty")  # options of each request
_INPUTS = {"text", "max_new_tokens", "length_penalty", "temperature", "top_k"}
_INPUTS |= {"top_p", "repetition_penalty", "seed"}


def open_translator(model, *, batch_size=32, jit_compile=False, **options):
    """A function of a list of sources that returns the list of their targets.

    Args:
        model: A preset of a `Seq2SeqLM`; or the directory of its SavedModel, or of all
            versions of that, to use the highest.
        batch_size: Number of sources at a time.
        jit_compile: Whether XLA compiles; must be False for a SavedModel, whose export
            decides.
        **options: Options of `Seq2SeqLM.generate`; those that are None have no effect.
            `num_beams` defaults to 4. A SavedModel has its number of beams, and takes
            only `max_new_tokens` and `length_penalty`; without either, the options are
            those of the export, and otherwise the other one is that of a model that was
            exported without options, but no more tokens than exported.

    Raises:
        CheckpointError: the preset is invalid.
        ExportError: the SavedModel is not that of a `Seq2SeqLM`.
        ValueError: an option is out of range, or the SavedModel does not take it.
    """
    require_whole("batch_size", batch_size, 1)
    options = {name: value for name, value in options.items() if value is not None}
    path = local_path(model)
    folder = newest_version(path) if path.is_dir() else None
    if folder is None:
        task = Seq2SeqLM.from_preset(model)
        options = {"num_beams": NUM_BEAMS, "jit_compile": jit_compile, **options}
        return lambda texts: task.generate(texts, batch_size=batch_size, **options)
    if jit_compile:
        raise ValueError(
            "jit_compile must be False for a SavedModel: its export decides whether "
            "XLA compiles. Received: True"
        )
    return _Served(folder, batch_size, options)


def in_chunks(translate, texts, *, chunk=CHUNK):
    """Yields lists of targets, of at most `chunk` texts in their order.

    A text without anything but white space is not translated; its target is empty.

    Args:
        translate: Function from `open_translator`.
        texts: Iterable of str.
        chunk: Number of texts in memory at a time.
    """
    waiting = []
    for text in texts:
        waiting.append(text)
        if len(waiting) == chunk:
            yield _filled(translate, waiting)
            waiting = []
    if waiting:
        yield _filled(translate, waiting)


def _filled(translate, texts):
    targets, rows = [""] * len(texts), [i for i, t in enumerate(texts) if t.strip()]
    if rows:
        found = translate([texts[i] for i in rows])
        for row, target in zip(rows, found, strict=True):
            targets[row] = target
    return targets


class _Served:
    """The function of a SavedModel."""

    def __init__(self, folder, batch_size, options):
        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, KeyError, tf.errors.OpError) as e:
            reason = (str(e).splitlines() or ["unknown"])[0]
            raise ExportError(
                f"The model cannot be loaded: {reason}.", path=folder
            ) from None
        signatures = self._model.signatures
        generate = signatures.get("generate")
        inputs = generate.structured_input_signature[1] if generate else {}
        if {*inputs} != _INPUTS:
            raise ExportError(
                "The SavedModel must be that of a Seq2SeqLM, with a signature generate "
                f"that takes {', '.join(sorted(_INPUTS))}. Received: "
                f"{', '.join(sorted(inputs)) or 'no such signature'}.",
                path=folder,
                fix="Use `tfzoo predict` for other models.",
            )
        beams = generate.structured_outputs["beams"].shape[1]
        asked = options.pop("num_beams", beams)
        if asked != beams:
            raise ValueError(
                f"num_beams must be {beams}, the number of beams of the export, or be "
                f"left out. Received: {asked}"
            )
        if others := sorted({*options} - {*PER_ROW}):
            raise ValueError(
                f"The options of a SavedModel must be {' and '.join(PER_ROW)}; the "
                f"others are fixed by its export. Received: {', '.join(others)}"
            )
        most = options.get("max_new_tokens", np.iinfo(np.int32).max)
        require_whole("max_new_tokens", most, 1)
        if beams == 1 and options.get("length_penalty", 1) != 1:
            raise ValueError(
                "length_penalty must be 1 without beams. Received: "
                f"{options['length_penalty']}, and an export of one beam"
            )
        self._batch_size, self._options = batch_size, options
        files = (folder / "variables").iterdir()
        self._num_weights = sum(file.stat().st_size for file in files) // FLOAT
        self._numbers = {
            "max_new_tokens": np.int32(most),
            "length_penalty": np.float32(options.get("length_penalty", 1.0)),
            "temperature": np.float32(0),
            "top_k": np.int32(0),
            "top_p": np.float32(1),
            "repetition_penalty": np.float32(1),
            "seed": np.int64(0),
        }

    def __call__(self, texts):
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        starts = range(0, len(order), self._batch_size)
        batches = [order[start : start + self._batch_size] for start in starts]
        found = mapped(
            lambda rows: self._translated([texts[row] for row in rows]),
            batches,
            self._num_weights,
        )
        targets = [None] * len(texts)
        for rows, translated in zip(batches, found, strict=True):
            for row, target in zip(rows, translated, strict=True):
                targets[row] = target.decode()
        return targets

    def _translated(self, texts):
        inputs, name = {"text": tf.constant(texts)}, "serving_default"
        if self._options:
            name = "generate"
            for option, value in self._numbers.items():
                inputs[option] = tf.fill([len(texts)], value)
        return self._model.signatures[name](**inputs)["text"].numpy()
