"""Which keywords the constructor of a layer or a model takes, and which its methods."""

import functools
import inspect

import keras

from tfzoo.errors import refuse_unknown

_PACKAGE = __name__.partition(".")[0]
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class KnownKeywords:
    """A mix-in before Keras's class: an unknown keyword is a `TypeError`.

    A functional `keras.Model` ignores what it does not know, and a layer's error does
    not say what was meant. It is checked before the constructor runs, so that a
    misspelt keyword is named, not the argument that it was meant to be.

    A class defines, beside its own arguments:
        keras_keywords: Names of those that its `**kwargs` hand to Keras.
    """

    keras_keywords = ("name", "trainable")

    def __new__(cls, *args, **kwargs):
        refuse_unknown(cls.__name__, kwargs, keywords_of(cls))
        return super().__new__(cls, *args, **kwargs)


class LayerKeywords(KnownKeywords):
    """The same of a `keras.layers.Layer`; `trainable=False` reaches its own layers."""

    keras_keywords = (
        *("name", "trainable", "dtype", "autocast", "activity_regularizer"),
        *("input_dim", "input_shape"),
    )

    def _post_build(self):
        super()._post_build()
        if not self.trainable:
            # Keras's constructor knew of no layers yet, and TensorFlow's `__setattr__`
            # leaves out what is set to the value that it has.
            keras.layers.Layer.trainable.fset(self, False)  # noqa: FBT003


def known_keywords(*of_keras):
    """A decorator of methods: an unknown keyword is a `TypeError`, as of a constructor.

    Args:
        *of_keras: Names of the keywords that the method hands to Keras.
    """

    def decorate(method):
        known = (*named_parameters(method)[1:], *of_keras)

        @functools.wraps(method)
        def checked(self, *args, **kwargs):
            named = [name for name in kwargs if name[0] != "_"]  # some are Keras's own
            refuse_unknown(f"{type(self).__name__}.{method.__name__}", named, known)
            return method(self, *args, **kwargs)

        return checked

    return decorate


def named_parameters(function):
    """Names of the parameters that may be given as keywords, a list."""
    parameters = inspect.signature(function).parameters
    return [name for name, p in parameters.items() if p.kind in _NAMED]


@functools.cache
def keywords_of(cls):
    """Names of the keywords that a class with `KnownKeywords` takes, a tuple.

    Of a class of the user's they are those of its own constructors and of the class of
    this package that it extends.
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
