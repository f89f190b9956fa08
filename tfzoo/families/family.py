"""What the package knows of an architecture, said once: a `Family`."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tfzoo.checkpoints import fields
from tfzoo.checkpoints.extra_tensors import NO_WEIGHTS
from tfzoo.checkpoints.fields import Field
from tfzoo.checkpoints.keras_hub import READABLE, KerasHubClass
from tfzoo.checkpoints.names import Stored, of_layers, prefixed, tied
from tfzoo.errors import CheckpointError
from tfzoo.text import tokenizer_classes
from tfzoo.text.layout import Layout
from tfzoo.text.tokenizer_classes import TokenizerClass

logger = logging.getLogger("tfzoo")
BACKBONES = {}  # `model_type` of a config.json -> class of the backbone


@dataclasses.dataclass(frozen=True)
class Head:
    """What a task adds to the backbone, in Hugging Face's format.

    Args:
        class_name: Of `transformers`' class for the task.
        names: Dict of variable path -> `Stored`.
        dropout: The `Field` of the head's dropout; None where the format has none.
    """

    class_name: str
    names: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    dropout: Field | None = None


@dataclasses.dataclass(frozen=True)
class Family:
    """An architecture in Hugging Face's format.

    Args:
        model_type: Its name in `config.json`.
        class_name: Of `transformers`' class for the backbone.
        prefix: What a task's file puts before the names of the backbone's tensors.
        fields: Dict of constructor argument -> `Field` of `config.json`.
        fixed: Dict of field -> its only implemented value, for options that change the
            numbers.
        names: Dict of variable path -> `Stored`; those with `{i}` stand for every
            layer.
        heads: Dict of task -> its `Head`; the tasks that the backbone can carry.
        tied: Dict of a tensor that a file need not have -> that whose copy it must be.
        output_names: As `names`, of those that never have the prefix: an output layer
            of the backbone's own.
        tokenizers: Dict of tokenizer class -> `Layout` of the family's texts. A
            tokenizer of another class keeps its own layout.
        tokenizer_classes: Dict of the name of a tokenizer class in files, if only this
            family has it -> `TokenizerClass`.
        sizes: Dict of the name of a size -> constructor arguments.
        constants: Fields that are written, and not read.
        token_fields: Dict of a field that is written -> role of the tokenizer's special
            token whose id it holds.
        unused: Pattern that begins the names of further tensors without a use here:
            buffers, and the heads of tasks that the package lacks.
        foreign: Dict of the file that tells another format -> function of its
            `Tensors` that returns the layout: an object with
            `to_hugging_face(config, tensors)` and `rename(tensors)`.
        keras_hub: How KerasHub has it; None where it is not read.
    """

    model_type: str
    class_name: str
    prefix: str
    fields: Mapping[str, Field]
    fixed: Mapping[str, Any]
    names: Mapping[str, Stored]
    heads: Mapping[str, Head]
    tied: Mapping[str, str]
    sizes: Mapping[str, Mapping[str, Any]]
    tokenizers: Mapping[type, Layout] = dataclasses.field(default_factory=dict)
    tokenizer_classes: Mapping[str, TokenizerClass] = dataclasses.field(
        default_factory=dict
    )
    output_names: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    token_fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unused: str | None = None
    foreign: Mapping[str, Callable] = dataclasses.field(default_factory=dict)
    keras_hub: KerasHubClass | None = None

    def laid_out(self, tokenizer):
        """The tokenizer with the layout of this family.

        A warning is logged if it was given another layout.

        Raises:
            TokenizerError: the tokenizer lacks a special token of the layout.
        """
        for tokenizer_class, layout in self.tokenizers.items():
            if isinstance(tokenizer, tokenizer_class):
                if tokenizer.layout not in (layout, tokenizer.usual_layout):
                    logger.warning(
                        "The layout of texts is that of %s, %s, not the tokenizer's %s",
                        self.model_type,
                        layout,
                        tokenizer.layout,
                    )
                return tokenizer.with_layout(layout)
        if self.tokenizers and not tokenizer.layout.tokens:
            for name in next(iter(self.tokenizers.values())).tokens:
                tokenizer.required_id(name)
        return tokenizer

    def from_config(self, config, path):
        """Constructor arguments of the backbone out of the `config.json` at `path`."""
        return fields.read_arguments(
            config, path, self.model_type, self.fields, self.fixed
        )

    def to_config(self, arguments, class_name=None, extra=None):
        """The content of `config.json`.

        Args:
            arguments: Constructor arguments of the backbone.
            class_name: Of `transformers`' class; None is the backbone's.
            extra: Further fields: labels, special tokens, the `"tfzoo"` block.
        """
        return {
            "architectures": [class_name or self.class_name],
            "model_type": self.model_type,
            **fields.write_arguments(arguments, self.fields),
            "initializer_range": 0.02,
            **self.constants,
            **self.fixed,
            **(extra or {}),
        }

    def backbone_names(self, num_layers, present=()):
        """Variable path of the backbone -> `Stored`.

        Args:
            num_layers: Number of layers.
            present: Names of the tensors in a file, or None for a task's file.
        """
        names = of_layers(self.names, num_layers)
        return {**prefixed(names, self.prefix, present), **self.output_names}

    @property
    def head_names(self):
        """Variable path of every head of the tasks -> `Stored`."""
        return {
            path: stored
            for head in self.heads.values()
            for path, stored in head.names.items()
        }

    def copies(self, present):
        """Tensor of a file -> that whose copy it must be: a tied output layer."""
        backbone = {stored.name for stored in self.names.values()}
        return {
            copy: there
            for ours, original in self.tied.items()
            for copy, there in tied(
                present, ours, original, self.prefix if original in backbone else ""
            ).items()
        }

    @property
    def may_be_left_out(self):
        """Pattern that begins the names of tensors that a task may have no use for."""
        stored = [*self.head_names.values()]
        first = [s.name.split(".")[0] for s in stored] + [
            name.split(".")[0] for name in self.tied
        ]
        patterns = [rf"{re.escape(part)}\." for part in dict.fromkeys(first)]
        if pooler := self.names.get("pooler/kernel"):
            part = pooler.name.split(".")[0]
            patterns.append(rf"({re.escape(self.prefix)})?{re.escape(part)}\.")
        return "|".join([*patterns, *filter(None, [self.unused]), NO_WEIGHTS])


def declared(family):
    """A decorator of a backbone's class: what the package knows of it is `family`."""

    def register(backbone_class):
        backbone_class.family = family
        BACKBONES[family.model_type] = backbone_class
        if family.keras_hub:
            READABLE.add(family.keras_hub.name)
        tokenizer_classes.DECLARED.update(family.tokenizer_classes)
        return keras.saving.register_keras_serializable("tfzoo")(backbone_class)

    return register


def class_of(config, path, among=None, rule="Must be one of"):
    """The class of the backbone of a `config.json`.

    Args:
        config: The content of the file.
        path: The file, for the error.
        among: The classes that it may be; None for all.
        rule: What the error says before their names.

    Raises:
        CheckpointError: there is none for its `model_type`.
    """
    known = BACKBONES if among is None else {c.family.model_type: c for c in among}
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in known:
        raise CheckpointError(
            f"{rule} {', '.join(known)}. Received: {model_type!r:.80}.",
            path=path,
            tensor="model_type",
        )
    return known[model_type]
