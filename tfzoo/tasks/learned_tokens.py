"""Targets and loss of the tasks that predict tokens.

Shapes: B batch, S sequence, M masked positions.
"""

import tensorflow as tf

from tfzoo.tasks.numeric import whole_targets
from tfzoo.training import losses


class LearnsTokens:
    """Mixin for tasks whose targets are token ids.

    A task defines, besides what `Task` requires:
        learned_at: Name of the input that has the shape of the targets: `token_ids`
            (B, S) or `mask_positions` (B, M).
    """

    learns = "classes"
    weighs_positions = True

    def default_loss(self, label_smoothing):
        return losses.SparseCategoricalCrossentropy(
            label_smoothing, one_pass=self.jit_compiled
        )

    def targets_of_ids(self, y, inputs):
        shape = inputs[self.learned_at].shape
        return whole_targets(y, self.backbone.vocabulary_size, shape), None

    def target_specs_of_ids(self, y, x):
        return tf.TensorSpec(x[self.learned_at].shape, tf.int32), None
