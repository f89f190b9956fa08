"""The weights of a model, and which of them are frozen, by the names of its layers.

A weight is frozen where its `trainable` is False, as `layer.trainable = False` makes
it. Keras writes that down neither for the layers of a functional model nor for theirs.
"""

import keras

FIELD = "frozen"  # of a `get_config`, and of our block of a config.json


def weight_variables(model):
    """The variables that a checkpoint holds: all but the state of random seeds."""
    return [v for v in model.variables if "seed_generator" not in v.path]


def frozen_config(model):
    """The field that says what is frozen, a dict; empty where nothing is."""
    names = frozen_names(weight_variables(model))
    return {FIELD: names} if names else {}


def with_frozen(model_class, config):
    """The model of a `get_config` with `frozen_config`.

    Args:
        model_class: The class; its constructor takes the other fields.
        config: The fields.
    """
    config = dict(config)
    names = config.pop(FIELD, [])
    model = model_class(**config)
    freeze(model, names)
    return model


def frozen_names(variables):
    """The names of the layers, or of single weights, that are frozen as a whole.

    Args:
        variables: The weights of a model, without the state of random seeds.

    Returns:
        List of paths such as `transformer_layer_0` or `classifier/output/bias`; none
        lies below another.
    """
    trained = {above for v in variables if v.trainable for above in _above(v.path)}
    names = {}
    for variable in variables:
        if not variable.trainable:
            whole = [above for above in _above(variable.path) if above not in trained]
            names[whole[0] if whole else variable.path] = None
    return [*names]


def freeze(model, names):
    """Freezes the weights that `frozen_names` gave, and their layers.

    Args:
        model: The model that holds them.
        names: The paths.

    Returns:
        Set of those names that are of no weight.
    """
    names, models, known = {*names}, [model], set()
    for layer in _layers(model):
        if isinstance(layer, keras.Model):
            models.append(layer)  # the backbone of a task
        elif layer.path in names:
            layer.trainable = False
    for variable in model.variables:
        if found := names.intersection(_above(variable.path)):
            variable.trainable = False
            known |= found
    for one in models:
        if names and not any(v.trainable for v in weight_variables(one)):
            one.trainable = False
    return names - known


def _above(path):
    """The path and those of the layers above it, the outermost first."""
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _layers(layer, seen=None):
    """All layers below a layer."""
    seen = {} if seen is None else seen
    for value in vars(layer).values():
        for child in value if isinstance(value, list | tuple) else [value]:
            if isinstance(child, keras.layers.Layer) and id(child) not in seen:
                seen[id(child)] = child
                _layers(child, seen)
    return [*seen.values()]
