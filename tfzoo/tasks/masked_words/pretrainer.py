"""BERT's pretraining: masked words and next sentence prediction.

Shapes: B batch, S sequence, M masked positions, V vocabulary_size.
"""

import json
import pathlib
import tempfile
from collections.abc import Mapping

import keras
import tensorflow as tf

from tfzoo.data.pretraining import open_pretraining_data
from tfzoo.errors import require_flags, shown
from tfzoo.layers.initializers import truncated_normal
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.inputs import single_texts
from tfzoo.tasks.masked_words.masking_of_text import masked_words_head, max_predictions
from tfzoo.tasks.masked_words.served_gaps import masked_lm_signatures
from tfzoo.tasks.numeric import one_column, whole_targets
from tfzoo.tasks.raw_datasets import batched, is_raw_dataset, refuse_targets
from tfzoo.training import losses, metrics


@keras.saving.register_keras_serializable("tfzoo")
class BertPretrainer(EncoderTask):
    """Predicts masked words and, from the pooled output, next sentences.

    Args:
        backbone: A `BertEncoder`, with its pooler for the next sentence.
        tokenizer: A `WordPieceTokenizer` with `[MASK]`.
        next_sentence: Whether to train next sentence prediction.
        max_sequence_length: Maximum number of tokens. Defaults to the backbone's.
        whole_word: Whether all pieces of a selected word are masked together.

    Raw texts in `fit` and `evaluate` are documents with a sentence per line, and there
    is no `y`; a dataset of them is first read into memory. To train on files, use
    `tfzoo.data.pretraining_dataset`. An export is that of a `MaskedLM`.

    Returns:
        A dict of float32 logits: `masked_words` (B, M, V) and, with next sentence
        prediction, `next_sentence` (B, 2), where 0 is the next one and 1 a random one.

    Source: Devlin et al. 2018, section 3.1, https://arxiv.org/abs/1810.04805
    """

    capability = "BertPretrainer"
    heads = ("masked_lm_head", "next_sentence")
    learns = "classes"
    weighs_positions = True
    argument_types = {
        "next_sentence": bool,
        "max_sequence_length": int,
        "whole_word": bool,
    }
    own_targets = "The documents contain their own targets"
    signatures = staticmethod(masked_lm_signatures)

    def __init__(
        self,
        backbone,
        tokenizer,
        *,
        next_sentence=True,
        max_sequence_length=None,
        whole_word=False,
        **kwargs,
    ):
        tokenizer.required_id("mask")
        require_flags(next_sentence=next_sentence, whole_word=whole_word)
        inputs, masked_words = masked_words_head(backbone)
        outputs = {"masked_words": masked_words}
        if next_sentence:
            if not backbone.pooler:
                raise ValueError(
                    "next_sentence=True requires pooled_output. Received: a backbone "
                    "with pooler=False"
                )
            outputs["next_sentence"] = keras.layers.Dense(
                2,
                kernel_initializer=truncated_normal(),
                dtype="float32",
                name="next_sentence",
            )(backbone.output["pooled_output"])
        super().__init__(
            backbone,
            tokenizer,
            outputs,
            inputs=inputs,
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        self.next_sentence = bool(next_sentence)
        self.whole_word = bool(whole_word)

    @classmethod
    def wants_pooler(cls, backbone_class):
        return True

    def served_output(self, outputs):
        return outputs["masked_words"]

    def default_loss(self, label_smoothing):
        def loss():
            return losses.SparseCategoricalCrossentropy(
                label_smoothing, one_pass=self.jit_compiled
            )

        return {name: loss() for name in self.output_names_in_order()}

    def default_metrics(self):
        return {name: [metrics.Accuracy()] for name in self.output_names_in_order()}

    def output_names_in_order(self):
        """`masked_words` and, with next sentence prediction, `next_sentence`."""
        return ["masked_words", *(["next_sentence"] if self.next_sentence else [])]

    @staticmethod
    def gathered(x):
        if not is_raw_dataset(x):
            return x
        if int(x.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "Raw documents must fit in memory. Received: an endless dataset"
            )
        x = batched(x)
        refuse_targets(x, "The documents contain their own targets", single=True)
        return [text for batch in x for text in batch.numpy().tolist()]

    def targets_of_ids(self, y, inputs):
        names = self.output_names_in_order()
        if not isinstance(y, Mapping) or set(y) != set(names):
            raise ValueError(
                f"y must be a dict of {', '.join(names)}. Received: "
                + (", ".join(map(str, y)) if isinstance(y, Mapping) else shown(y))
            )
        shape = inputs["mask_positions"].shape
        found = {
            "masked_words": whole_targets(
                y["masked_words"], self.backbone.vocabulary_size, shape, "masked_words"
            )
        }
        if self.next_sentence:
            found["next_sentence"] = whole_targets(
                one_column(y["next_sentence"]), 2, shape[:1], "next_sentence"
            )
        return found, None

    def target_specs_of_ids(self, y, x):
        shape = x["mask_positions"].shape
        shapes = {"masked_words": shape, "next_sentence": shape[:1]}
        names = self.output_names_in_order()
        return {name: tf.TensorSpec(shapes[name], tf.int32) for name in names}, None

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of raw documents, see `Task`.

        Each epoch has new pairs and masks. Without `shuffle`, each pair occurs once, in
        a fixed order, for `evaluate`.
        """
        self.targets_of_raw(x, y)
        if sample_weight is not None:
            raise ValueError(f"{self.own_targets}. Received: sample_weight")
        source = self._source(single_texts(x), plan.seed)
        if not plan.shuffle:
            return source.validation_batches(plan.batch_size)
        steps = plan.epochs * -(-source.num_examples // plan.batch_size)
        batches = source.batches(plan.batch_size, start_step=plan.start_step)
        return batches.take(max(0, steps - plan.start_step))

    def _source(self, documents, seed):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "documents.jsonl"
            with open(path, "w", encoding="utf-8") as file:
                for document in documents:
                    if isinstance(document, bytes):
                        document = document.decode("utf-8", "replace")
                    file.write(json.dumps({"text": document}) + "\n")
            return open_pretraining_data(
                [path],
                self.tokenizer,
                max_sequence_length=self.max_sequence_length,
                max_predictions=max_predictions(self.max_sequence_length),
                whole_word=self.whole_word,
                next_sentence=self.next_sentence,
                seed=seed,
                progress=False,
            )
