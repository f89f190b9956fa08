"""Base class of the tasks.

Shapes: B batch, S sequence.
"""

import keras

from tfzoo.data.buckets import padded_batches
from tfzoo.data.string_batches import dense_batch
from tfzoo.errors import is_whole, shown
from tfzoo.layers.keywords import known_keywords
from tfzoo.models.frozen import frozen_config, with_frozen
from tfzoo.tasks.adapting import Adapting
from tfzoo.tasks.compiling import AutoCompile
from tfzoo.tasks.exporting import Exporting
from tfzoo.tasks.feeding import Feeding
from tfzoo.tasks.fitting import Fitting
from tfzoo.tasks.plan import BATCH_SIZE, Plan
from tfzoo.tasks.predicting import Predicting
from tfzoo.tasks.preset_reading import PresetReading
from tfzoo.tasks.preset_writing import PresetWriting
from tfzoo.tasks.refusals import Refusals
from tfzoo.training.finite_updates import FiniteUpdates

XLA_LENGTH_MULTIPLE = 32  # of padded lengths, each of which XLA compiles


class Task(
    Adapting,
    AutoCompile,
    PresetReading,
    PresetWriting,
    Exporting,
    Fitting,
    Predicting,
    Feeding,
    FiniteUpdates,
    keras.Model,
):
    """A backbone, a tokenizer and a head: a `keras.Model` that takes raw text.

    `fit`, `evaluate` and `predict` take raw text in any container (see `raw_texts`),
    prepared ids, and batches of either: a `tf.data.Dataset`, a `PyDataset` or a
    generator. Text in memory is tokenized up front and batched by length; batches are
    tokenized inside `tf.data`, in their own order.

    A task defines, besides what `AutoCompile`, `PresetReading` and `Exporting` require:
        batches_of(x, y, sample_weight, plan): Raw text that is not a dataset ->
            `tf.data` of (inputs, targets, weights) by a `Plan`.
        map_strings(dataset, *, seed): The same for a batched dataset of raw text.

    If raw input is not a text or a pair of texts, also `raw_input` and `raw_batches`.

    Args:
        backbone: A model of `tfzoo.models`.
        tokenizer: Its ids must be within the backbone's vocabulary. Texts have the
            layout of the backbone's family, see `Family.laid_out`.
        outputs: Outputs of the functional graph.
        inputs: Inputs of the functional graph. None for those of the backbone.
        max_sequence_length: Maximum number of tokens; longer inputs are truncated.
            Defaults to the backbone's.
    """

    labels = None  # class names in order, if any

    def __init__(
        self,
        backbone,
        tokenizer,
        outputs,
        *,
        inputs=None,
        max_sequence_length=None,
        **kwargs,
    ):
        limit = backbone.max_sequence_length
        if max_sequence_length is None:
            max_sequence_length = limit
        if not is_whole(max_sequence_length) or not 2 < max_sequence_length <= limit:
            raise ValueError(
                f"max_sequence_length must be an integer in [3, {limit}], the "
                f"backbone's positions. Received: {shown(max_sequence_length)}"
            )
        if tokenizer.vocabulary_size > backbone.input_vocabulary_size:
            raise ValueError(
                "Every id of the tokenizer must be within the backbone's vocabulary. "
                f"Received: tokenizer.vocabulary_size={tokenizer.vocabulary_size}, "
                f"backbone.vocabulary_size={backbone.input_vocabulary_size}"
            )
        if "padding_id" in backbone.family.fields:
            _check_padding(backbone, tokenizer)
        inputs = backbone.input if inputs is None else inputs
        super().__init__(inputs, outputs, **kwargs)
        # Not tracked by Keras: the graph above contains the layers that the task uses,
        # and for others, such as an unused pooler, Keras would warn about gradients.
        object.__setattr__(self, "_backbone", backbone)
        self._input_names = tuple(inputs)
        object.__setattr__(self, "refusals", Refusals())
        self.tokenizer = backbone.family.laid_out(tokenizer)
        self.max_sequence_length = int(max_sequence_length)

    @property
    def backbone(self):
        """The model of `tfzoo.models` whose layers this task trains."""
        return self._backbone

    @property
    def num_segments(self):
        """Number of segments of the backbone; None if it takes no segments."""
        takes = "segment_ids" in self.backbone.input
        return self.backbone.num_segments if takes else None

    @property
    def length_multiple(self):
        """Multiple to which lengths are rounded up: 1, unless XLA compiles each."""
        return XLA_LENGTH_MULTIPLE if self.jit_compiled else 1

    @known_keywords("inputs", "training", "mask")
    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        # Tokenizers always return `segment_ids`, but not every backbone has segments.
        if isinstance(inputs, dict):
            inputs = {
                name: inputs[name] for name in self._input_names if name in inputs
            }
        return super().call(inputs, training=training, mask=mask)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "backbone": serialize(self.backbone),
            "tokenizer": serialize(self.tokenizer),
            "name": self.name,
            **frozen_config(self),
            **self.task_arguments(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for part in ("backbone", "tokenizer"):
            config[part] = keras.saving.deserialize_keras_object(config[part])
        return with_frozen(cls, config)

    @known_keywords(*Plan._fields)
    def training_data(self, x, y=None, sample_weight=None, **plan):
        """Batches of raw text for `fit`.

        Args:
            x: Raw text as in `fit`, but not a dataset.
            y: Its targets, as in `fit`.
            sample_weight: As in `fit`.
            **plan: Attributes of a `Plan`.

        Returns:
            `tf.data.Dataset` of (inputs, targets, weights).
        """
        return self.batches_of(x, y, sample_weight, Plan(**plan))

    def padded(self, encoded, targets, weights, plan, *, seconds=None):
        """Batches of encoded rows, with rows of similar length together.

        Args:
            encoded: `EncodedBatch` of N rows.
            targets: As in `padded_batches`.
            weights: Weights of the rows, float32 (N,).
            plan: The `Plan`.
            seconds: `EncodedBatch` of N second texts, or None.
        """
        return padded_batches(
            encoded,
            targets,
            weights,
            seconds=seconds,
            pad_id=self.tokenizer.filling_id,
            multiple=self.length_multiple,
            **plan._asdict(),
        )

    def evaluation_data(self, x, y=None, sample_weight=None, *, batch_size=BATCH_SIZE):
        """Batches of raw text for `evaluate`: all texts once, in a fixed order."""
        return self.training_data(
            x, y, sample_weight, batch_size=batch_size, shuffle=False
        )

    def encode_strings(self, text, **options):
        """Strings (B,), or a dict of them -> padded ids (B, S), in TensorFlow.

        Args:
            text: String (B,), or a dict of `text` and `text_pair`.
            **options: As in the tokenizer's `graph.encode`.
        """
        text = text if isinstance(text, dict) else {"text": text}
        encoded = self.tokenizer.graph.encode(
            text["text"],
            text.get("text_pair"),
            max_length=self.max_sequence_length,
            **options,
        )
        return dense_batch(encoded, self.tokenizer.filling_id, self.length_multiple)


def _check_padding(backbone, tokenizer):
    if backbone.padding_id != tokenizer.required_id("pad"):
        raise ValueError(
            "backbone.padding_id must be the tokenizer's pad_id, because positions "
            f"count from it. Received: backbone.padding_id={backbone.padding_id}, "
            f"tokenizer.pad_id={tokenizer.pad_id}"
        )
