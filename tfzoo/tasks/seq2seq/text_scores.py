"""BLEU, ROUGE and the like of what a `Seq2SeqLM` generates, also while it trains."""

import keras

from tfzoo.errors import TfzooError
from tfzoo.training.generation_metrics import generation_scores


class TextScores(keras.callbacks.Callback):
    """Generates targets after each epoch, and adds their scores to its logs.

    A measure is logged as `val_bleu` and the like. In a `Run`, its record and callbacks
    such as `KeepBest` see the scores.

    Args:
        sources: List of sources.
        targets: List of as many references.
        measures: As in `generation_scores`.
        tokenize: As in `generation_scores`.
        batch_size: Number of sources at a time.
        **options: Options of `Seq2SeqLM.generate`.
    """

    adds_logs = True

    def __init__(
        self,
        sources,
        targets,
        measures=("bleu",),
        *,
        tokenize="13a",
        batch_size=32,
        **options,
    ):
        super().__init__()
        require_measures(measures, tokenize)
        self.sources, self.targets = list(sources), list(targets)
        self.measures, self.tokenize = measures, tokenize
        self.batch_size, self.options = batch_size, options

    def on_epoch_end(self, epoch, logs=None):
        texts = self.model.generate(
            self.sources, batch_size=self.batch_size, **self.options
        )
        scores = generation_scores(
            texts, self.targets, self.measures, tokenize=self.tokenize
        )
        logs.update({f"val_{name}": scores[name] for name in self.measures})


def require_measures(measures, tokenize="13a"):
    """Raises an error now if texts could not be scored later.

    Args:
        measures: As in `generation_scores`.
        tokenize: As in `generation_scores`.

    Raises:
        TfzooError: a library is not installed.
        ValueError: a measure or `tokenize` is unknown.
    """
    try:
        generation_scores(["a"], ["a"], measures, tokenize=tokenize)
    except ImportError as e:
        raise TfzooError(str(e)) from e
