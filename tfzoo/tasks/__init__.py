"""Tasks: what one trains, saves and serves."""

import pathlib

from tfzoo.checkpoints.presets import CONFIG, read_config
from tfzoo.checkpoints.sentence_transformers import MODULES
from tfzoo.errors import CheckpointError
from tfzoo.tasks.causal_lm import CausalLM
from tfzoo.tasks.masked_lm import MaskedLM
from tfzoo.tasks.nearest import nearest
from tfzoo.tasks.pretrainer import BertPretrainer
from tfzoo.tasks.text_classifier import TextClassifier
from tfzoo.tasks.text_embedder import TextEmbedder

__all__ = [
    "BertPretrainer",
    "CausalLM",
    "MaskedLM",
    "TextClassifier",
    "TextEmbedder",
    "from_preset",
    "nearest",
]

_TASKS = {
    task.__name__: task
    for task in (BertPretrainer, CausalLM, MaskedLM, TextClassifier, TextEmbedder)
}


def from_preset(directory, **arguments):
    """The task that a directory holds, whichever it is.

    Args:
        directory: Written by a task's `save_to_preset`, by `transformers` or by
            sentence-transformers.
        **arguments: As in the task's `from_preset`.

    Raises:
        CheckpointError: the directory holds no task, or breaks a rule of the format.
    """
    config = read_config(directory)
    architectures = config.get("architectures") or [None]
    block = config.get("tfzoo") if isinstance(config.get("tfzoo"), dict) else {}
    for name, task in _TASKS.items():
        theirs = task.architecture_of(config)
        if block.get("class_name") == name or theirs == architectures[0] is not None:
            return task.from_preset(directory, **arguments)
    if (pathlib.Path(directory) / MODULES).exists():
        return TextEmbedder.from_preset(directory, **arguments)
    known = [task.architecture_of(config) for task in _TASKS.values()]
    raise CheckpointError(
        f"Must name the class of a task, one of {[k for k in known if k]}. "
        f"Received: {architectures[0]!r}.",
        path=f"{directory}/{CONFIG}",
        tensor="architectures",
        fix="Open a backbone through the task that you want to train.",
    )
