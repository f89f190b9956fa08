"""How weights begin."""

import keras


def truncated_normal(stddev=0.02):
    """Normal of this standard deviation, cut at two of them.

    Source: google-research/bert modeling.py `create_initializer`; the published models
    were trained from it.
    """
    return keras.initializers.TruncatedNormal(stddev=stddev)
