"""Class weights, the argument `class_weight` of `fit`.

Shapes: C classes.
"""

import numbers
from collections.abc import Mapping, Set

import numpy as np
import tensorflow as tf

from tfzoo.errors import shown
from tfzoo.tasks.numeric import checked_weights, numbers_of, one_column


def class_factors(class_weight, labels):
    """Converts `class_weight` to an array.

    Args:
        class_weight: Dict of label or index -> weight, 1 for the others, or a weight
            for each label in order.
        labels: The `Labels`.

    Returns:
        float32 (C,).

    Raises:
        ValueError: `class_weight` is neither, or a weight is negative or not finite.
    """
    count = len(labels)
    rule = "class_weight must be a dict of a label or its index -> weight, or "
    rule += f"a weight for each of the {count} labels. Received: "
    if isinstance(class_weight, Mapping):
        factors = np.ones(count, np.float32)
        for label, weight in class_weight.items():
            if not isinstance(weight, numbers.Real):
                raise ValueError(f"{rule}{shown(weight)} for {shown(label)}")
            factors[labels.index_of(label)] = weight
    else:
        if isinstance(class_weight, str | Set):
            raise ValueError(f"{rule}{shown(class_weight)}")
        factors = one_column(numbers_of(class_weight, "class_weight"))
        if factors.shape != (count,):
            raise ValueError(f"{rule}shape {factors.shape}")
    return checked_weights(factors, "class_weight")


def weighed(dataset, factors):
    """Multiplies class weights into the example weights of batches.

    Args:
        dataset: Batches (inputs, targets) or (inputs, targets, weights).
        factors: The result of `class_factors`.

    Returns:
        Batches (inputs, targets, weights).

    Raises:
        ValueError: the targets are not class indices.
    """
    targets = dataset.element_spec[1]
    if not (isinstance(targets, tf.TensorSpec) and targets.dtype == tf.int32):
        raise ValueError(
            "class_weight requires targets that are class indices. Received: targets "
            f"{shown(targets)} of a custom loss"
        )
    factors = tf.constant(factors)

    def weigh(inputs, targets, weights=1.0):
        return inputs, targets, weights * tf.gather(factors, targets)

    return dataset.map(weigh)
