"""`from_preset`: tasks from directories in Hugging Face's format."""

from tfzoo.checkpoints.fields import refuse_untied
from tfzoo.errors import CheckpointError, about, refuse_unknown, shown
from tfzoo.families import backbone_classes, class_of
from tfzoo.families.opening import open_checkpoint
from tfzoo.families.preset_backbone import named_size
from tfzoo.files import read_json
from tfzoo.layers import MaskedLMHead, NextTokenHead
from tfzoo.layers.keywords import KnownKeywords, keywords_of
from tfzoo.models.frozen import FIELD, freeze, weight_variables
from tfzoo.tasks.stored_heads import fitted, stored_head
from tfzoo.text.preset_tokenizer import tokenizer_from_preset
from tfzoo.text.tokenizer_files import CONFIG

_OF_BACKBONE = ("dropout", "activation")  # arguments of a task's `from_preset`


class PresetReading(KnownKeywords):
    """Mixin: `from_preset`, which reads the directory of a task.

    A task defines:
        capability: Its name in the `heads` of a `Family` and in a directory.
        heads: First parts of the variable paths of its head. If it has none, its
            directory is that of the backbone.
        argument_types: Dict of constructor argument -> type of its JSON value, for all
            but backbone and tokenizer. Each is also an attribute.
        head_arguments: Names of the arguments that must match those of a directory for
            its head to be read, `labels` among them. None by default.
        stands_on(backbone_class): Whether it supports a backbone. By default, whether
            the family has a head for it.
        wants_pooler(backbone_class): Whether it reads `pooled_output`; by default not.
        options_for_tensors(backbone_class, names): Arguments of the backbone, given
            the names of the tensors that the checkpoint has. By default none.
        stored_arguments(config, path): The arguments that a `config.json` has. By
            default those in the `"tfzoo"` block.
        with_asked(stored, asked): Merges these with the arguments asked for, which take
            precedence.
    """

    head_arguments = ()

    @classmethod
    def stands_on(cls, backbone_class):
        return cls.capability in backbone_class.family.heads

    @classmethod
    def wants_pooler(cls, backbone_class):
        return False

    @classmethod
    def options_for_tensors(cls, backbone_class, names):
        return {}

    @classmethod
    def stored_arguments(cls, config, path):
        return stored_task_arguments(config, path, cls.capability, cls.argument_types)

    @classmethod
    def with_asked(cls, stored, asked):
        return {**stored, **asked}

    @classmethod
    def from_preset(cls, preset, *, tokenizer=None, dtype=None, **arguments):
        """Opens a checkpoint, or creates a named size with random weights.

        Args:
            preset: A directory written by `save_to_preset` or `transformers`, of this
                task, of another one or of a backbone; `hf://ORG/NAME[@REVISION]` or
                `keras_hub://NAME`; or a size name such as `"bert_tiny"`.
            tokenizer: Defaults to the directory's; required with a size name.
            dtype: Keras dtype policy, such as `"mixed_bfloat16"`.
            **arguments: Constructor arguments. Default to those of the directory. With
                other `labels` than the directory's, the classifier is new, with a
                logged warning; if only their order differs, its rows are reordered.
                `dropout` and `activation` are those of the backbone.

        Returns:
            The task. Weights that the directory lacks are random, and logged. Layers
            that were frozen when this task was saved are frozen.

        Raises:
            CheckpointError: the directory is invalid.
            TypeError: an argument does not exist; the message suggests similar ones.
        """
        taken = ("tokenizer", "dtype", *_OF_BACKBONE, *keywords_of(cls))
        refuse_unknown(f"{cls.__name__}.from_preset", arguments, taken)
        given = {"dtype": dtype}
        for name in _OF_BACKBONE:
            if name in arguments:
                given[name] = arguments.pop(name)
        if named_size(preset, cls.named_sizes()) is not None:
            return cls._of_size(preset, tokenizer, given, arguments)
        found = open_checkpoint(preset)
        config, path = found.config, found.path
        rule = f"{cls.__name__} supports only"
        backbone_class = class_of(config, path, cls.backbones(), rule)
        tokenizer = tokenizer or tokenizer_from_preset(found.directory)
        head = stored_head(cls, found) if cls.head_arguments else None
        stored = cls.stored_arguments(head.config if head else config, path)
        asked = arguments or any(value is not None for value in given.values())
        given |= cls._backbone_options(backbone_class)
        given |= cls.options_for_tensors(backbone_class, found.tensors.names)
        kind = None if asked else CheckpointError  # an argument may be the reason
        with about(path, kind):
            model = backbone_class.before_reading(found, **given)
        if tokenizer.vocabulary_size > model.input_vocabulary_size:
            raise CheckpointError(
                "The tokenizer must not have more tokens than the embedding. Received: "
                f"{tokenizer.vocabulary_size} and {model.input_vocabulary_size}.",
                path=path,
                tensor="vocab_size",
            )
        with about(path, kind):
            task = cls(model, tokenizer, **cls.with_asked(stored, arguments))
        if task._is_tied:
            copies = backbone_class.family.copies(task.backbone, found.tensors.names)
            refuse_untied(config, path, copies)
        tensors, keep_head = found.tensors, True
        if head:
            tensors, keep_head = fitted(head, found, task, stored, arguments)
        task.load_from(tensors, keep_head=keep_head)
        task.opened_from = str(preset)
        names = stored_task_arguments(config, path, cls.capability, {FIELD: list})
        if unknown := freeze(task, names.get(FIELD, [])):
            raise CheckpointError(
                f"Must be names of layers. Received: {sorted(unknown)[0]!r:.80}.",
                path=path,
                tensor=f"tfzoo.{FIELD}",
            )
        return task

    @classmethod
    def _of_size(cls, preset, tokenizer, given, arguments):
        """The task of a named size, with the tokenizer's vocabulary."""
        if tokenizer is None:
            raise ValueError(
                "A size name requires a tokenizer. "
                f"Received: preset={shown(preset)}, tokenizer=None"
            )
        return cls(
            cls.backbone_of_size(preset, tokenizer, **given), tokenizer, **arguments
        )

    @classmethod
    def backbone_of_size(cls, name, tokenizer, **arguments):
        """The backbone of a named size with random weights, for a tokenizer.

        Args:
            name: Name of the size.
            tokenizer: Sets the size of the vocabulary and the id of the pad token.
            **arguments: Constructor arguments that override the size's.
        """
        backbone_class = next(c for c in cls.backbones() if name in c.family.sizes)
        arguments["vocabulary_size"] = tokenizer.vocabulary_size
        arguments |= cls._backbone_options(backbone_class)
        if "padding_id" in backbone_class.family.fields:
            arguments["padding_id"] = tokenizer.required_id("pad")
        return backbone_class.from_preset(name, **arguments)

    @classmethod
    def backbones(cls):
        """List of the classes of all supported backbones."""
        return [c for c in backbone_classes() if cls.stands_on(c)]

    @classmethod
    def named_sizes(cls):
        """Dict of size name -> arguments, for all supported backbones."""
        return {
            name: size for c in cls.backbones() for name, size in c.family.sizes.items()
        }

    @classmethod
    def _backbone_options(cls, backbone_class):
        if "pooler" not in keywords_of(backbone_class):
            return {}
        return {"pooler": cls.wants_pooler(backbone_class)}

    @classmethod
    def head_in(cls, config):
        """The task's `Head` in the family of a `config.json`, or None."""
        for backbone_class in backbone_classes():
            family = backbone_class.family
            if family.model_type == config.get("model_type"):
                if cls.capability in family.heads:
                    return family.heads[cls.capability]
        return None

    @classmethod
    def architecture_of(cls, config):
        """Name of the class in `transformers` for the task, given a `config.json`."""
        head = cls.head_in(config)
        return head and head.class_name

    @classmethod
    def is_named_in(cls, config):
        """Whether a `config.json` names the class in `transformers` for the task."""
        return cls.architecture_of(config) in (config.get("architectures") or [])

    def load_from(self, tensors, *, keep_head=True):
        """Assigns the weights of a checkpoint; missing ones are unchanged and logged.

        Args:
            tensors: `Tensors` of the checkpoint.
            keep_head: Whether to read the head, if the checkpoint has one.
        """
        family, present = self.backbone.family, tensors.names
        names = {
            **family.backbone_names(self.backbone, present),
            **self._head_names(),
        }
        variables, new = weight_variables(self.stored_model()), []
        if not keep_head:
            new = [v.path for v in variables if v.path.split("/")[0] in self.heads]
            variables = [v for v in variables if v.path not in new]
        lacked = self.backbone.read(
            tensors, variables, names, heads=self.heads, new=new, tied=self._is_tied
        )
        self.lacked = tuple(lacked)

    def stored_model(self):
        """The model whose weights are in the directory.

        Not a property, through which Keras would recurse from the model into itself.
        """
        return self

    def _head_names(self):
        """Dict of variable path of the head -> `Stored`."""
        head = self.backbone.family.heads.get(self.capability)
        return head.names if head else {}

    @property
    def _is_tied(self):
        """Whether the output layer shares the token embedding."""
        return any(
            x.token_embedding is self.backbone.token_embedding
            for x in self.layers
            if isinstance(x, MaskedLMHead | NextTokenHead)
        )


def stored_task_arguments(config, path, class_name, known):
    """The `"tfzoo"` block of a `config.json`, if it is that of `class_name`.

    Args:
        config: Content of the file.
        path: Path of the file, for error messages.
        class_name: Name of the task's class.
        known: Dict of argument -> type.

    Raises:
        CheckpointError: an argument has another type.
    """
    block = config.get("tfzoo", {})
    if not isinstance(block, dict) or block.get("class_name") != class_name:
        return {}
    found = {name: block[name] for name in known if block.get(name) is not None}
    for name, value in found.items():
        kind = int | float if known[name] is float else known[name]  # JSON's 0 for 0.0
        if not isinstance(value, kind) or (
            isinstance(value, list) and not all(isinstance(v, str) for v in value)
        ):
            raise CheckpointError(
                f"Not a valid value: {shown(value)}.", path=path, tensor=f"tfzoo.{name}"
            )
    if "max_sequence_length" in found:
        found |= _cut_by_tokenizer(path.parent / CONFIG)
    return found


def _cut_by_tokenizer(path):
    """The maximum length in the tokenizer's file, which other tools may change."""
    config = read_json(path, CheckpointError) if path.exists() else {}
    length = config.get("model_max_length")
    # A tokenizer without a limit has 1e30.
    is_limit = type(length) is int and 2 < length < 1 << 24
    return {"max_sequence_length": length} if is_limit else {}
