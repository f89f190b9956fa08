"""Numbers for each text, in the order of the texts.

Shapes: N texts, C numbers of a text.
"""

import numpy as np
import tensorflow as tf

from tfzoo.data.buckets import ordered_batches
from tfzoo.data.pipelines import require_whole
from tfzoo.data.string_batches import dense_batch
from tfzoo.layers.keywords import known_keywords
from tfzoo.tasks.feeding import refuse_steps
from tfzoo.tasks.inputs import raw_texts
from tfzoo.tasks.plan import BATCH_SIZE


class RowPerText:
    """A mix-in: `predict` of a task that answers a text with a row of numbers.

    A task defines, beside what `Task` asks for:
        num_outputs: Numbers C of a text.
        encode_texts(texts): Ids of `Texts`, an `EncodedBatch`.
    """

    @known_keywords("verbose", "steps", "callbacks")
    def predict(self, x, batch_size=None, **kwargs):
        """Outputs float32 (N, C), in the order of `x`; as in Keras otherwise.

        Args:
            x: Raw text or prepared ids, or batches of either.
            batch_size: Texts per batch, 32 by default; None with batches.
            **kwargs: As in Keras; `steps` with prepared ids and batches alone.
        """
        texts = raw_texts(x)
        if texts is None:
            if isinstance(x, dict) and "token_ids" in x and not len(x["token_ids"]):
                return self._nothing()
            return self.predict_batches(x, batch_size, **kwargs)
        refuse_steps(kwargs)
        if not texts.texts:
            return self._nothing()
        require_whole("batch_size", batch_size, 1)
        batch_size = batch_size or BATCH_SIZE
        encoded = self.encode_texts(texts)
        if len(texts.texts) <= batch_size and not set(kwargs) - {"verbose"}:
            if self.distribute_strategy.num_replicas_in_sync == 1:
                # One batch needs none of the pipeline that `predict` builds anew.
                return self.outputs_of(self._dense(encoded))
        data, positions = ordered_batches(
            encoded,
            batch_size=batch_size,
            pad_id=self.tokenizer.pad_id,
            multiple=self.length_multiple,
        )
        return self.predict_prepared(data, **kwargs)[positions]

    def _dense(self, encoded):
        rows = {
            name: tf.RaggedTensor.from_row_splits(values, encoded.row_splits)
            for name, values in encoded._asdict().items()
            if name != "row_splits"
        }
        return dense_batch(rows, self.tokenizer.pad_id, self.length_multiple)

    def _nothing(self):
        return np.zeros((0, self.num_outputs), np.float32)


def as_rows(rows, width, fill=np.nan):
    """Arrays (n, width) of different n as one (N, largest n, width), `fill` after them.

    float32.
    """
    longest = max(map(len, rows), default=0)
    result = np.full((len(rows), longest, width), fill, np.float32)
    for place, row in zip(result, rows, strict=True):
        place[: len(row)] = row
    return result
