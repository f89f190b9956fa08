"""The weights of a model, and which of them are frozen, recorded by layer name.

A weight is frozen if its `trainable` is False, for example after
`layer.trainable = False`. Keras saves this neither for the layers of a functional model
nor for their sublayers.
"""

import keras

FIELD = "frozen"  # in `get_config`, and in the "tfzoo" object of config.json
HELD = "held_by_adapters"  # attribute of a weight that is frozen only beside adapters
_NO_WEIGHTS = ("seed_generator", "/lora_kernel_")


def weight_variables(model):
    """The variables that belong in a checkpoint.

    These are all except the states of seed generators and adapters, for which see
    `tfzoo.models.lora`.
    """
    return [
        v for v in model.variables if not any(part in v.path for part in _NO_WEIGHTS)
    ]


def frozen_config(model):
    """The config entry that lists what is frozen; an empty dict if nothing is."""
    names = frozen_names(weight_variables(model))
    return {FIELD: names} if names else {}


def with_frozen(model_class, config):
    """Builds a model from a config that may contain `frozen_config`.

    Args:
        model_class: The class; its constructor takes the other entries.
        config: The config.
    """
    config = dict(config)
    names = config.pop(FIELD, [])
    model = model_class(**config)
    freeze(model, names)
    return model


def frozen_names(variables):
    """The outermost layers, or single weights, that are entirely frozen.

    Args:
        variables: The weights of a model, without seed-generator states.

    Returns:
        List of paths such as `transformer_layer_0` or `classifier/output/bias`, none of
        which contains another.
    """
    trained = {above for v in variables if _trains(v) for above in _above(v.path)}
    names = {}
    for variable in variables:
        if not _trains(variable):
            whole = [above for above in _above(variable.path) if above not in trained]
            names[whole[0] if whole else variable.path] = None
    return [*names]


def freeze(model, names):
    """Freezes the weights listed by `frozen_names`, and their layers.

    Args:
        model: The model that holds them.
        names: The paths.

    Returns:
        Set of the names that match no weight.
    """
    names, models, known = {*names}, [model], set()
    for layer in layers_in(model):
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


def unfreeze(model):
    """Makes a model, its layers at any depth and its weights trainable."""
    for layer in (model, *layers_in(model)):
        # TensorFlow's `__setattr__` skips setting an attribute to its value, and so the
        # layers below.
        keras.layers.Layer.trainable.fset(layer, True)  # noqa: FBT003


def _trains(variable):
    return variable.trainable or hasattr(variable, HELD)


def _above(path):
    """The paths of the layers that contain `path`, outermost first, and `path`."""
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def layers_in(layer, seen=None):
    """All layers inside a layer, at any depth."""
    seen = {} if seen is None else seen
    for value in vars(layer).values():
        for child in value if isinstance(value, list | tuple) else [value]:
            if isinstance(child, keras.layers.Layer) and id(child) not in seen:
                seen[id(child)] = child
                layers_in(child, seen)
    return [*seen.values()]
