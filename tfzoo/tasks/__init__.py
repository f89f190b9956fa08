"""Tasks: models to train, save and serve."""

from tfzoo.checkpoints.references import local_directory
from tfzoo.checkpoints.sentence_transformers import MODULES
from tfzoo.errors import CheckpointError, shown
from tfzoo.families import class_of as backbone_of
from tfzoo.families.opening import open_checkpoint
from tfzoo.tasks.answering.question_answerer import QuestionAnswerer
from tfzoo.tasks.causal_lm.causal_lm import CausalLM
from tfzoo.tasks.classification.text_classifier import TextClassifier
from tfzoo.tasks.embedding.nearest import nearest
from tfzoo.tasks.embedding.text_embedder import TextEmbedder
from tfzoo.tasks.masked_words.masked_lm import MaskedLM
from tfzoo.tasks.masked_words.pretrainer import BertPretrainer
from tfzoo.tasks.seq2seq.seq2seq_lm import Seq2SeqLM
from tfzoo.tasks.tagging.token_classifier import TokenClassifier

__all__ = [
    "BertPretrainer",
    "CausalLM",
    "MaskedLM",
    "QuestionAnswerer",
    "Seq2SeqLM",
    "TextClassifier",
    "TextEmbedder",
    "TokenClassifier",
    "from_preset",
    "nearest",
]

_TASKS = {
    task.__name__: task
    for task in (
        BertPretrainer,
        CausalLM,
        MaskedLM,
        QuestionAnswerer,
        Seq2SeqLM,
        TextClassifier,
        TextEmbedder,
        TokenClassifier,
    )
}


def from_preset(preset, **arguments):
    """Opens the task of a checkpoint.

    Args:
        preset: A directory written by a task's `save_to_preset` or by `transformers`,
            or `hf://ORG/NAME[@REVISION]`.
        **arguments: As in the task's `from_preset`.

    Raises:
        CheckpointError: the directory contains no task, or is invalid.
    """
    directory = local_directory(preset)
    found = open_checkpoint(directory)
    backbone_of(found.config, found.path)  # raises if there is none
    task = class_of(found.config)
    if task is None and (found.directory / MODULES).exists():
        task = TextEmbedder
    if task is None:
        known = [task.architecture_of(found.config) for task in _TASKS.values()]
        raise CheckpointError(
            f"Must name the class of a task, one of {[k for k in known if k]}. "
            f"Received: {found.config.get('architectures')!r:.200}.",
            path=found.path,
            tensor="architectures",
            fix="To open a backbone, use the from_preset of the task to train.",
        )
    return task.from_preset(directory, **arguments)


def class_of(config):
    """The class of the task named in a `config.json`, or None."""
    named = config.get("architectures") or []
    block = config.get("tfzoo") if isinstance(config.get("tfzoo"), dict) else {}
    for task in _TASKS.values():
        if task.architecture_of(config) in named:
            return task
    name = block.get("class_name")
    return _TASKS.get(name) if isinstance(name, str) else None


def class_named(name):
    """The class of a task, by its name.

    Raises:
        ValueError: no task has that name.
    """
    if name not in _TASKS:
        raise ValueError(
            f"task must be one of {', '.join(_TASKS)}. Received: {shown(name)}"
        )
    return _TASKS[name]
