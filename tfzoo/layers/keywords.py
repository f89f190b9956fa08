"""Rejects unknown keyword arguments of layers, models and their methods."""

import functools
import inspect

import keras

from tfzoo.errors import refuse_unknown

_PACKAGE = __name__.partition(".")[0]
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class KnownKeywords:
    """Mixin, placed before Keras's class, that makes unknown keywords a `TypeError`.

    A functional `keras.Model` ignores unknown keywords, and a layer's error suggests
    no correction. The check comes before the constructor, so that the error names the
    misspelled keyword, not the argument that is missing because of it.

    Class attributes:
        keras_keywords: Names of the keywords that `**kwargs` passes on to Keras.
    """

    keras_keywords = ("name", "trainable")

    def __new__(cls, *args, **kwargs):
        refuse_unknown(cls.__name__, kwargs, keywords_of(cls))
        return super().__new__(cls, *args, **kwargs)


class LayerKeywords(KnownKeywords):
    """`KnownKeywords` for layers; also applies `trainable=False` to their sublayers."""

    keras_keywords = (
        *("name", "trainable", "dtype", "autocast", "activity_regularizer"),
        *("input_dim", "input_shape"),
    )

    def _post_build(self):
        super()._post_build()
        if not self.trainable:
            # There were no sublayers yet in Keras's constructor, and TensorFlow's
            # `__setattr__` skips setting an attribute to the value it already has.
            keras.layers.Layer.trainable.fset(self, False)  # noqa: FBT003


def known_keywords(*of_keras):
    """Method decorator that makes unknown keywords a `TypeError`.

    Args:
        *of_keras: Names of the keywords that the method passes on to Keras.
    """

    def decorate(method):
        known = (*named_parameters(method)[1:], *of_keras)

        @functools.wraps(method)
        def checked(self, *args, **kwargs):
            named = [name for name in kwargs if name[0] != "_"]  # Keras passes some
            refuse_unknown(f"{type(self).__name__}.{method.__name__}", named, known)
            return method(self, *args, **kwargs)

        return checked

    return decorate


def named_parameters(function):
    """List of the parameter names that can be passed as keywords."""
    parameters = inspect.signature(function).parameters
    return [name for name, p in parameters.items() if p.kind in _NAMED]


@functools.cache
def keywords_of(cls):
    """Tuple of the keywords that a subclass of `KnownKeywords` accepts.

    For a user-defined class: those of its own constructors and of the class of this
    package that it extends.
    """
    names = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            names |= dict.fromkeys(named_parameters(base.__init__)[1:])
            if base.__module__.startswith(f"{_PACKAGE}."):
                break
        elif base is KnownKeywords:
            break
    return (*names, *cls.keras_keywords)
