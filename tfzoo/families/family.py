"""`Family`: the definition of an architecture."""

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tfzoo.checkpoints import fields, hub
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
ENCODERS = {}  # the same -> class of the encoder alone, of an encoder-decoder


@dataclasses.dataclass(frozen=True)
class Head:
    """The head of a task, in Hugging Face's format.

    Args:
        class_name: Name of the class in `transformers` for the task.
        names: Dict of variable path -> `Stored`.
        dropout: The `Field` of the head's dropout; None if the format has none.
    """

    class_name: str
    names: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    dropout: Field | None = None


@dataclasses.dataclass(frozen=True)
class Family:
    """An architecture in Hugging Face's format.

    Args:
        model_type: Its name in `config.json`.
        class_name: Name of the class in `transformers` for the backbone.
        prefix: Prefix of the names of the backbone's tensors in the file of a task.
        fields: Dict of constructor argument -> `Field` of `config.json`.
        fixed: Dict of field -> its only supported value, for options that change the
            computation.
        names: Dict of variable path -> `Stored`; one with `{i}` applies to every layer
            (in an encoder-decoder, of the encoder, and one with `{j}` of the decoder).
        heads: Dict of task -> its `Head`, for the supported tasks.
        tied: Dict of optional tensor -> the tensor of which it must be a copy, if the
            output layer shares the token embeddings.
        shared: The same, in any case.
        output_names: Like `names`, for variables that never have the prefix: those of
            the backbone's own output layer.
        tokenizers: Dict of tokenizer class -> `Layout` of the family's texts. A
            tokenizer of another class keeps its own layout.
        tokenizer_classes: Dict of the name of a tokenizer class in files ->
            `TokenizerClass`, for classes that only this family has.
        sizes: Dict of size name -> constructor arguments.
        constants: Fields that are written but not read.
        token_fields: Dict of a field that is written -> role of the special token of
            the tokenizer whose id is its value.
        decoder_start: Role of the special token with which the decoder of an
            encoder-decoder starts; "start" is the end token if there is none.
        unused: Regular expression for the start of the names of further tensors that
            are not needed: buffers, and the heads of unsupported tasks.
        foreign: Dict of the file that identifies another format -> function of its
            `Tensors` that returns the layout: an object with
            `to_hugging_face(config, tensors)` and `rename(tensors)`.
        keras_hub: The `KerasHubClass`; None if KerasHub presets are not supported.
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
    shared: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tokenizers: Mapping[type, Layout] = dataclasses.field(default_factory=dict)
    tokenizer_classes: Mapping[str, TokenizerClass] = dataclasses.field(
        default_factory=dict
    )
    output_names: Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    token_fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    decoder_start: str | None = None
    unused: str | None = None
    foreign: Mapping[str, Callable] = dataclasses.field(default_factory=dict)
    keras_hub: KerasHubClass | None = None

    def laid_out(self, tokenizer):
        """The tokenizer with the layout of this family in place of its own.

        Logs a warning if this replaces a layout other than the default.

        Raises:
            TokenizerError: the tokenizer lacks a special token of the layout.
        """
        for tokenizer_class, layout in self.tokenizers.items():
            if isinstance(tokenizer, tokenizer_class):
                if tokenizer.layout not in (layout, tokenizer.usual_layout):
                    logger.warning(
                        "%s uses the layout %s instead of the tokenizer's %s",
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
        """Constructor arguments of the backbone from the `config.json` at `path`."""
        return fields.read_arguments(
            config, path, self.model_type, self.fields, self.fixed
        )

    def from_checkpoint(self, found):
        """Constructor arguments of the backbone of an opened `Checkpoint`."""
        return self.from_config(found.config, found.path)

    def to_config(self, arguments, class_name=None, extra=None):
        """The content of `config.json`.

        Args:
            arguments: Constructor arguments of the backbone.
            class_name: Name of the class in `transformers`. Defaults to the backbone's.
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

    def names_of(self, backbone):
        """The `names` that apply to a backbone, or to any if it is None."""
        del backbone
        return self.names

    def tied_in(self, backbone):
        """The `tied` that applies to a backbone."""
        del backbone
        return self.tied

    def shared_in(self, backbone):
        """The `shared` that applies to a backbone."""
        del backbone
        return self.shared

    def backbone_names(self, backbone, present=()):
        """Dict of variable path of the backbone -> `Stored`.

        Args:
            backbone: The backbone, or None for the weights outside its layers.
            present: Names of the tensors in a file, or None for the file of a task.
        """
        names = self.names_of(backbone)
        names = of_layers(names, {} if backbone is None else backbone.layer_counts)
        return {**prefixed(names, self.prefix, present), **self.output_names}

    @property
    def head_names(self):
        """Dict of variable path of the heads of all tasks -> `Stored`."""
        return {
            path: stored
            for head in self.heads.values()
            for path, stored in head.names.items()
        }

    def copies(self, backbone, present, *, ties_output=True):
        """Dict of tensor in a file -> the tensor of which it must be a copy.

        Args:
            backbone: The backbone.
            present: Names of the tensors in the file.
            ties_output: Whether the output layer shares the token embeddings.
        """
        names = {stored.name for stored in self.names_of(backbone).values()}
        has_prefix = any(name.startswith(self.prefix) for name in present)
        prefix = self.prefix if has_prefix else ""
        pairs = {
            **self.shared_in(backbone),
            **(self.tied_in(backbone) if ties_output else {}),
        }
        return {
            copy: there
            for ours, original in pairs.items()
            for copy, there in tied(
                present, ours, original, prefix if original in names else ""
            ).items()
        }

    @property
    def may_be_left_out(self):
        """Regular expression for the start of names of tensors a task may not need."""
        stored = [*self.head_names.values()]
        first = [s.name.split(".")[0] for s in stored] + [
            name.split(".")[0] for name in self.tied
        ]
        patterns = [rf"{re.escape(part)}\." for part in dict.fromkeys(first)]
        if pooler := self.names.get("pooler/kernel"):
            part = pooler.name.split(".")[0]
            patterns.append(rf"({re.escape(self.prefix)})?{re.escape(part)}\.")
        return "|".join([*patterns, *filter(None, [self.unused]), NO_WEIGHTS])


def declared(family, *, among=BACKBONES):
    """Class decorator that registers a backbone with its `Family`.

    Args:
        family: The `Family`.
        among: `BACKBONES` or, if these have an encoder-decoder of the same model type,
            `ENCODERS`.
    """

    def register(backbone_class):
        backbone_class.family = family
        among[family.model_type] = backbone_class
        hub.READABLE.add(family.model_type)
        if family.keras_hub:
            READABLE.add(family.keras_hub.name)
        tokenizer_classes.DECLARED.update(family.tokenizer_classes)
        return keras.saving.register_keras_serializable("tfzoo")(backbone_class)

    return register


def backbone_classes():
    """List of the classes of all backbones."""
    return [*BACKBONES.values(), *ENCODERS.values()]


def class_named_in(config):
    """The class of the backbone of a `config.json`; None without a known `model_type`.

    It is the encoder alone if that is what the file's `architectures` say.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        return None
    if alone := ENCODERS.get(model_type):
        heads = [head.class_name for head in alone.family.heads.values()]
        named = config.get("architectures") or []
        if any(name in named for name in (alone.family.class_name, *heads)):
            return alone
    return BACKBONES.get(model_type)


def class_of(config, path, among=None, rule="Must be one of"):
    """The class of the backbone of a `config.json`.

    Args:
        config: The content of the file.
        path: The file, for the error.
        among: The allowed classes, one for each model type; None for all, as in
            `class_named_in`.
        rule: Start of the error message, followed by their names.

    Raises:
        CheckpointError: no class has its `model_type`.
    """
    known = BACKBONES if among is None else {c.family.model_type: c for c in among}
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in known:
        raise CheckpointError(
            f"{rule} {', '.join(known)}. Received: {model_type!r:.80}.",
            path=path,
            tensor="model_type",
        )
    return class_named_in(config) if among is None else known[model_type]
