"""Text embeddings: vectors that are close for texts of similar meaning.

Shapes: N texts, B batch, D hidden_dim of the backbone.
"""

import keras
import numpy as np
import tensorflow as tf

from tfzoo.checkpoints.sentence_transformers import read_modules, write_modules
from tfzoo.data.buckets import SECOND
from tfzoo.errors import require_flags
from tfzoo.families import class_of
from tfzoo.layers import SentencePooling
from tfzoo.layers.keywords import known_keywords
from tfzoo.models import Decoder, Encoder
from tfzoo.tasks.checks import weights_in_graph
from tfzoo.tasks.embedding.served_vectors import text_embedder_signatures
from tfzoo.tasks.encoder_task import EncoderTask
from tfzoo.tasks.inputs import (
    Texts,
    array_of,
    raw_texts,
    refuse_unordered,
    texts_or_one,
)
from tfzoo.tasks.numeric import example_weights, numbers_of, one_column, whole_targets
from tfzoo.tasks.plan import BATCH_SIZE
from tfzoo.tasks.predicting import RowPerText
from tfzoo.training.pair_losses import CosineError, InBatchNegatives

_HASHES = 2**31 - 1


@keras.saving.register_keras_serializable("tfzoo")
class TextEmbedder(RowPerText, EncoderTask):
    """Sentence embeddings: texts of similar meaning have a large cosine similarity.

    Args:
        backbone: An encoder or a decoder: `BertEncoder`, `T5Encoder`, `LlamaDecoder`
            and so on. A pooler or an output layer is not used, but `save_to_preset`
            writes it.
        tokenizer: The backbone's tokenizer.
        pooling: `"mean"` for the mean of the vectors of all tokens, `"last"` for the
            vector of the last or, with an encoder only, `"cls"` for that of the first.
            Defaults to `"mean"` with an encoder and `"last"` with a decoder.
        normalize: Whether vectors have norm 1, so that cosine similarities are dot
            products.
        max_sequence_length: Maximum number of tokens; longer inputs are truncated.
            Defaults to the backbone's.

    `fit` and `evaluate` take pairs of texts, `x = {"text": [...], "text_pair": [...]}`
    or a batched dataset of such dicts. By default there is no `y`: the two texts of a
    pair match, such as a question and its answer, and the second texts of the other
    pairs of the batch are the negatives (`InBatchNegatives`; larger batches are
    harder). With `compile(loss=CosineError())`, `y` is the similarity of the two texts,
    in [-1, 1]. Prepared ids are those of the first texts and, as `second_token_ids` and
    so on, those of the second texts; then `y` identifies texts as in
    `InBatchNegatives`. `predict` takes single texts.

    Returns:
        (B, D) float32 vectors; (B, 2, D) for pairs.

    Source: Reimers & Gurevych 2019, https://arxiv.org/abs/1908.10084; decoders: Wang
        et al. 2024, https://arxiv.org/abs/2401.00368; the training on pairs: Henderson
        et al. 2017, section 4, https://arxiv.org/abs/1705.00652
    """

    capability = "TextEmbedder"
    peft_task = "FEATURE_EXTRACTION"
    heads = ()
    other_losses = (CosineError,)
    argument_types = {"pooling": str, "normalize": bool, "max_sequence_length": int}
    signatures = staticmethod(text_embedder_signatures)

    def __init__(
        self,
        backbone,
        tokenizer,
        *,
        pooling=None,
        normalize=True,
        max_sequence_length=None,
        **kwargs,
    ):
        require_flags(normalize=normalize)
        sequence, is_decoder = backbone.output, isinstance(backbone, Decoder)
        if not is_decoder:
            sequence = sequence["sequence_output"]
        if pooling is None:
            pooling = "last" if is_decoder else "mean"
        if pooling == "cls" and is_decoder:
            raise ValueError(
                "pooling must be 'last' or 'mean' with a decoder, whose first token "
                "has not read the text. Received: 'cls'"
            )
        pool = SentencePooling(pooling, normalize=normalize, name="pooling")
        vectors = pool(sequence, backbone.input["padding_mask"])
        super().__init__(
            backbone,
            tokenizer,
            vectors,
            max_sequence_length=max_sequence_length,
            **kwargs,
        )
        self.pooling = pooling
        self.normalize = bool(normalize)

    def call(self, inputs, training=None, mask=None):
        first = super().call(inputs, training=training, mask=mask)
        seconds = {
            name.removeprefix(SECOND): value
            for name, value in inputs.items()
            if name.startswith(SECOND)
        }
        if not seconds:
            return first
        second = super().call(seconds, training=training, mask=mask)
        return keras.ops.stack([first, second], axis=1)

    @classmethod
    def wants_pooler(cls, backbone_class):
        return True

    def stored_model(self):
        return self.backbone

    @property
    def num_outputs(self):
        """Width D of a vector."""
        return self.backbone.hidden_dim

    @classmethod
    def stands_on(cls, backbone_class):
        return issubclass(backbone_class, Encoder | Decoder)

    @classmethod
    def options_for_tensors(cls, backbone_class, names):
        output = {x.name for x in backbone_class.family.output_names.values()}
        # Embedding models have no output layer, whatever their configuration says.
        return {"ties_output": True} if output - {*names} else {}

    def get_config(self):
        config = super().get_config()
        backbone = config["backbone"]["config"]
        # What is not in this graph has no weights in a `.keras` file.
        for name, value in (("pooler", False), ("ties_output", True)):
            if name in backbone:
                backbone[name] = value
        return config

    @classmethod
    def stored_arguments(cls, config, path):
        family = class_of(config, path, cls.backbones()).family
        sizes = family.from_config(config, path)
        found = read_modules(
            path.parent,
            hidden_dim=sizes["hidden_dim"],
            num_positions=sizes["max_sequence_length"],
        )
        return {**super().stored_arguments(config, path), **found}

    def save_more(self, directory):
        write_modules(
            directory, hidden_dim=self.backbone.hidden_dim, **self.task_arguments()
        )

    def default_loss(self, label_smoothing):
        if label_smoothing:
            raise ValueError(
                "label_smoothing must be 0 for an embedder. "
                f"Received: label_smoothing={label_smoothing}"
            )
        return InBatchNegatives()

    def default_metrics(self):
        return []

    def known_inputs(self):
        needed, _ = super().known_inputs()
        return needed, tuple(SECOND + name for name in needed)

    def targets_of_raw(self, x, y):
        if x.text_pairs is None:
            raise ValueError(
                "Training an embedder requires pairs: x={'text': [...], 'text_pair': "
                "[...]}. Received: single texts"
            )
        if y is None:
            return _names(x.texts, x.text_pairs)
        return likenesses(y, len(x.texts))

    def targets_of_batch(self, y, *, is_raw):
        return numbers_of(y, "y") if is_raw else y

    def targets_of_ids(self, y, inputs):
        if SECOND + "token_ids" not in inputs:
            raise ValueError(
                "Training an embedder requires pairs: second_token_ids and so on, in "
                "addition to the ids of the first texts. "
                f"Received: {', '.join(inputs)}"
            )
        rows = len(inputs["token_ids"])
        refuse_unordered(y, "y")
        numbers = array_of(y)
        numbers = np.asarray(y) if numbers is None else numbers
        if numbers.dtype.kind in "iu" and not self._learns_likenesses:
            return whole_targets(numbers, 2**31 - 1, (rows, 2)), None
        return likenesses(numbers, rows), None

    @property
    def _learns_likenesses(self):
        return isinstance(self.loss, CosineError)

    def target_specs_of_ids(self, y, x):
        if y.dtype.is_integer and not self._learns_likenesses:
            return tf.TensorSpec(y.shape, tf.int32), None
        return tf.TensorSpec(y.shape[:1], tf.float32), None

    def encode_texts(self, texts):
        if texts.text_pairs is not None:
            raise ValueError(
                "Only single texts can be embedded. Received: pairs of texts"
            )
        return self.tokenizer.encode_batch(
            texts.texts, max_length=self.max_sequence_length
        )

    def batches_of(self, x, y, sample_weight, plan):
        """Batches of raw pairs, see `Task`, with pairs of similar length together."""
        first, second = raw_texts(x)
        targets = self.targets_of_raw(Texts(first, second), y)
        return self.padded(
            self.encode_texts(Texts(first)),
            targets,
            example_weights(sample_weight, len(first)),
            plan,
            seconds=self.encode_texts(Texts(second)),
        )

    def map_strings(self, dataset, *, seed=0):
        """A batched dataset of raw text -> one of inputs, or of (inputs, targets, ...).

        Single texts, for `predict`, have no targets; pairs without `y` get targets from
        their texts.
        """
        del seed  # nothing is random here

        def encode(number, batch):
            text, y, *rest = batch if isinstance(batch, tuple) else (batch, None)
            if not isinstance(text, dict):
                return self.encode_strings(text)
            pair = (text["text"], text["text_pair"])
            inputs = self.encode_strings(pair[0])
            for name, value in self.encode_strings(pair[1]).items():
                inputs[SECOND + name] = value
            if y is None:
                y = tf.strings.to_hash_bucket_fast(tf.stack(pair, axis=1), _HASHES)
            else:
                y = self._likenesses_in_graph(y, number)
            weights = weights_in_graph(rest, number, self.refusals)
            return (inputs, y, *weights)

        return dataset.enumerate().map(encode, num_parallel_calls=2).prefetch(2)

    def _likenesses_in_graph(self, y, number):
        def check(y):
            return [likenesses(y, len(y))]

        spec = tf.TensorSpec(y.shape[:1], tf.float32)
        return self.refusals.call(check, number, [y], [spec])[0]

    @known_keywords()
    def embed(self, texts, *, batch_size=BATCH_SIZE):
        """Embeds texts.

        Args:
            texts: A column of strings, or a single string.
            batch_size: Texts per batch.

        Returns:
            float32 (N, D), in the order of the texts; (D,) for a single string.
        """
        texts, is_one = texts_or_one(texts)
        vectors = self.predict(Texts(texts), batch_size=batch_size, verbose=0)
        return vectors[0] if is_one else vectors


def likenesses(y, count):
    """The similarities of `count` pairs, float32 (N,).

    Raises:
        ValueError: a number is not in [-1, 1], or their number is wrong.
    """
    numbers = one_column(numbers_of(y, "y"))
    if numbers.shape != (count,):
        raise ValueError(
            f"x and y must have the same length. Received: {count} and {numbers.shape}"
        )
    wrong = ~(np.abs(numbers) <= 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"y must be in [-1, 1], like cosine similarities. Received: {numbers[row]} "
            f"in row {row}"
        )
    return numbers


def _names(first, second):
    """A number for each text of each pair, int32 (N, 2), equal for equal texts."""
    numbers = {}
    return np.array(
        [
            [numbers.setdefault(text, len(numbers)) for text in pair]
            for pair in zip(first, second, strict=True)
        ],
        np.int32,
    ).reshape(-1, 2)
