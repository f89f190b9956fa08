"""What a token of a window may look back on.

Shapes: B batch, S sequence.
"""

import keras
from keras import ops

from tfzoo.layers.keywords import LayerKeywords


@keras.saving.register_keras_serializable("tfzoo")
class CausalMask(LayerKeywords, keras.layers.Layer):
    """Lets each token see those of its own document, up to itself.

    Call arguments:
        documents: (B, S) integers, the number of the document of each token. A mask
            of 1 for a token and 0 for padding is one document with padding.

    Returns:
        Boolean (B, S, S), True where the token of the row sees that of the column.
        Every token sees itself, padding too, so no row is empty.
    """

    def call(self, documents):
        indices = ops.arange(ops.shape(documents)[1])
        earlier = ops.expand_dims(indices, 1) >= ops.expand_dims(indices, 0)
        same = ops.equal(ops.expand_dims(documents, 2), ops.expand_dims(documents, 1))
        return ops.logical_and(same, ops.expand_dims(earlier, 0))

    def compute_output_spec(self, documents):
        batch, length = documents.shape
        return keras.KerasTensor((batch, length, length), "bool")
