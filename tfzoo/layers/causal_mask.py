"""Causal masks for windows of one or more documents.

Shapes: B batch, S sequence.
"""

import keras
from keras import ops

from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class CausalMask(LayerKeywords, keras.layers.Layer):
    """Lets each token attend to the tokens of its own document, up to itself.

    Call arguments:
        documents: (B, S) integers, the document number of each token. A padding mask
            (1 for a token, 0 for padding) stands for one padded document.

    Returns:
        Boolean (B, S, S), True where the row's token may attend to the column's.
        Every token attends to itself, padding included, so no row is empty.
    """

    def call(self, documents):
        indices = ops.arange(ops.shape(documents)[1])
        earlier = ops.expand_dims(indices, 1) >= ops.expand_dims(indices, 0)
        same = ops.equal(ops.expand_dims(documents, 2), ops.expand_dims(documents, 1))
        return ops.logical_and(same, ops.expand_dims(earlier, 0))

    def compute_output_spec(self, documents):
        batch, length = documents.shape
        return keras.KerasTensor((batch, length, length), "bool")
