"""Tasks as directories of Hugging Face's format, and as SavedModels."""

from tfzoo.checkpoints.fields import refuse_untied
from tfzoo.checkpoints.hub import PushToHub
from tfzoo.checkpoints.preset_files import model_card, write_preset
from tfzoo.checkpoints.weights import dtype_fields, save_weights
from tfzoo.errors import CheckpointError, refuse_unknown
from tfzoo.families import BACKBONES, class_of
from tfzoo.families.opening import open_checkpoint
from tfzoo.families.preset_backbone import named_size
from tfzoo.layers import MaskedLMHead, NextTokenHead
from tfzoo.layers.keywords import KnownKeywords, keywords_of, known_keywords
from tfzoo.models.frozen import FIELD, freeze, frozen_config, weight_variables
from tfzoo.tasks.classifier_config import with_asked
from tfzoo.tasks.stored_arguments import stored_task_arguments
from tfzoo.tasks.stored_heads import fitted, stored_head
from tfzoo.text.preset_tokenizer import tokenizer_from_preset

_OF_BACKBONE = ("dropout", "activation")  # arguments of a task's `from_preset`


class Preset(KnownKeywords, PushToHub):
    """A mix-in: reading and writing the directory of a task.

    A task defines:
        capability: What it does, by which a `Family` has its head and a directory names
            it.
        heads: First parts of the variable paths that stand on the backbone; where
            there are none, the directory is that of the backbone.
        head_arguments: Names of those arguments that must fit the directory's for its
            head to be read, `labels` among them; by default none.
        stands_on(backbone_class): Whether it can have such a backbone; by default
            where the family has a head for it.
        wants_pooler(backbone_class): Whether it reads `pooled_output`; by default not.
        task_arguments(): Its constructor arguments but backbone and tokenizer, as
            JSON values.
        stored_arguments(config, path): The same out of a `config.json`.
    """

    head_arguments = ()

    @classmethod
    def stands_on(cls, backbone_class):
        return cls.capability in backbone_class.family.heads

    @classmethod
    def wants_pooler(cls, backbone_class):
        return False

    @classmethod
    def from_preset(cls, preset, *, tokenizer=None, dtype=None, **arguments):
        """The task of a checkpoint or, with random weights, of a named size.

        Args:
            preset: A directory that `save_to_preset` or `transformers` wrote, of this
                task, of another one or of a backbone; `hf://ORG/NAME[@REVISION]` or
                `keras_hub://NAME`; or a size name such as `"bert_tiny"`.
            tokenizer: None takes the directory's; a size name needs one.
            dtype: Keras dtype policy, such as `"mixed_bfloat16"`.
            **arguments: Constructor arguments; those of the directory otherwise. With
                other `labels` than the directory's the classifier is new, and a line
                says so; the same ones in another order take their rows along.
                `dropout` and `activation` are the backbone's.

        Returns:
            The task. Weights that the directory lacks are random, and logged. Layers
            that were frozen when this task was saved are.

        Raises:
            CheckpointError: the directory breaks a rule of the format.
            TypeError: there is no such argument; it is named, and what is near it.
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
        rule = f"{cls.__name__} opens"
        backbone_class = class_of(config, path, cls._backbones(), rule)
        tokenizer = tokenizer or tokenizer_from_preset(found.directory)
        head = stored_head(cls, found) if cls.head_arguments else None
        stored = cls.stored_arguments(head.config if head else config, path)
        given |= cls._backbone_options(backbone_class)
        model = backbone_class.before_reading(found, **given)
        if tokenizer.vocabulary_size > model.vocabulary_size:
            raise CheckpointError(
                "The tokenizer must not have more tokens than the embedding. Received: "
                f"{tokenizer.vocabulary_size} and {model.vocabulary_size}.",
                path=path,
                tensor="vocab_size",
            )
        try:
            task = cls(model, tokenizer, **with_asked(stored, arguments))
        except ValueError as e:
            if arguments:  # which may be the reason
                raise
            raise CheckpointError(str(e), path=path) from e
        if task._is_tied:
            copies = task.backbone.family.copies(found.tensors.names)
            refuse_untied(config, path, copies)
        tensors, keep_head = found.tensors, True
        if head:
            tensors, keep_head = fitted(head, found, task, stored, arguments)
        task.load_from(tensors, keep_head=keep_head)
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
        """The task of a named size, whose vocabulary is the tokenizer's."""
        if tokenizer is None:
            raise ValueError(
                "A size name has random weights and needs a tokenizer. "
                f"Received: preset={preset!r}, tokenizer=None"
            )
        return cls(
            cls.backbone_of_size(preset, tokenizer, **given), tokenizer, **arguments
        )

    @classmethod
    def backbone_of_size(cls, name, tokenizer, **arguments):
        """The backbone of a named size with random weights, for a tokenizer.

        Args:
            name: Of the size.
            tokenizer: Says how large the vocabulary is, and which id is the padding's.
            **arguments: Constructor arguments that differ from the size's.
        """
        backbone_class = next(c for c in cls._backbones() if name in c.family.sizes)
        arguments["vocabulary_size"] = tokenizer.vocabulary_size
        arguments |= cls._backbone_options(backbone_class)
        if "padding_id" in backbone_class.family.fields:
            arguments["padding_id"] = tokenizer.required_id("pad")
        return backbone_class.from_preset(name, **arguments)

    @classmethod
    def _backbones(cls):
        return [c for c in BACKBONES.values() if cls.stands_on(c)]

    @classmethod
    def named_sizes(cls):
        """Arguments by the name of a size, of every backbone that it can stand on."""
        return {
            name: size
            for c in cls._backbones()
            for name, size in c.family.sizes.items()
        }

    @classmethod
    def _backbone_options(cls, backbone_class):
        if "pooler" not in keywords_of(backbone_class):
            return {}
        return {"pooler": cls.wants_pooler(backbone_class)}

    @property
    def architecture(self):
        """Name of `transformers`' class for it."""
        family = self.backbone.family
        if self.stored_model() is not self:
            return family.class_name
        return family.heads[self.capability].class_name

    @classmethod
    def architecture_of(cls, config):
        """Name of `transformers`' class for the task of a `config.json`."""
        model_type = config.get("model_type")
        if not isinstance(model_type, str) or model_type not in BACKBONES:
            return None
        head = BACKBONES[model_type].family.heads.get(cls.capability)
        return head and head.class_name

    def load_from(self, tensors, *, keep_head=True):
        """Assigns the weights of a checkpoint; those it lacks stay and are logged.

        Args:
            tensors: Its `Tensors`.
            keep_head: Whether the head is read, where the checkpoint has one.
        """
        family, present = self.backbone.family, tensors.names
        names = {
            **family.backbone_names(self.backbone.num_layers, present),
            **self._head_names(),
        }
        variables, new = weight_variables(self.stored_model()), []
        if not keep_head:
            new = [v.path for v in variables if v.path.split("/")[0] in self.heads]
            variables = [v for v in variables if v.path not in new]
        self.backbone.read(
            tensors, variables, names, heads=self.heads, new=new, tied=self._is_tied
        )

    def _head_names(self):
        """Variable path of its head -> `Stored`."""
        head = self.backbone.family.heads.get(self.capability)
        return head.names if head else {}

    @property
    def _is_tied(self):
        """Whether the token embedding is the output layer, too."""
        return any(
            x.token_embedding is self.backbone.token_embedding
            for x in self.layers
            if isinstance(x, MaskedLMHead | NextTokenHead)
        )

    @known_keywords()
    def save_to_preset(
        self,
        directory,
        *,
        training_data=None,
        metrics=None,
        dtype=None,
        max_shard_size=None,
    ):
        """Writes a directory that `from_preset` and `transformers` open.

        Args:
            directory: Must not exist yet.
            training_data: One line for the model card.
            metrics: Dict of name -> figure for the model card.
            dtype: Of the weights in the file, `"float32"`, `"float16"` or `"bfloat16"`;
                None keeps theirs.
            max_shard_size: Bytes of weights in one file; None writes a single one.
        """
        family = self.backbone.family
        weights = weight_variables(self.stored_model())
        config = family.to_config(
            self.backbone.get_config(),
            self.architecture,
            self._config_fields() | dtype_fields(weights, dtype),
        )
        # Without a head the file is the backbone's, whose names have no prefix.
        present = None if self.stored_model() is self else ()
        names = {
            **family.backbone_names(self.backbone.num_layers, present),
            **self._head_names(),
        }
        tokenizer = self.tokenizer
        facts = {f.name: config[f.name] for f in family.fields.values()}
        if self.labels:
            facts["labels"] = ", ".join(self.labels)
        facts["training data"] = training_data or "not stated"
        card = model_card(
            type(self).__name__,
            model_type=family.model_type,
            facts=facts,
            tokenizer=tokenizer.description,
            metrics=metrics,
        )

        def write_rest(beside):
            save_weights(
                beside,
                weights,
                names,
                dtype=dtype,
                max_shard_size=max_shard_size,
            )
            tokenizer.save_to_preset(
                beside, max_sequence_length=self.max_sequence_length
            )
            self.save_more(beside)

        write_preset(directory, config, card, write_rest)

    def stored_model(self):
        """The model whose weights the directory holds.

        No property: Keras would walk from a model through it into itself for ever.
        """
        return self

    def save_more(self, directory):
        """Writes the files that only this task has; none by default."""

    def _config_fields(self):
        arguments = self.task_arguments()
        return {
            **self.token_fields(),
            **self.label_fields(),
            # Labels and kind stand in public fields, which other tools change.
            "tfzoo": {
                "class_name": self.capability,
                **frozen_config(self),
                **{n: v for n, v in arguments.items() if n not in self.head_arguments},
            },
        }

    def token_fields(self):
        """Fields by which `transformers` knows the special tokens."""
        roles = {"pad_token_id": "pad", **self.backbone.family.token_fields}
        return {f: getattr(self.tokenizer, f"{role}_id") for f, role in roles.items()}

    def label_fields(self):
        """Fields by which `transformers` knows the labels; none by default."""
        return {}

    def in_float32(self):
        """This task, or an equal one that computes in float32 throughout."""
        if self.backbone.dtype_name == "float32":
            return self
        backbone = type(self.backbone).from_config(
            {**self.backbone.get_config(), "dtype": "float32"}
        )
        copy = type(self)(backbone, self.tokenizer, **self.task_arguments())
        ours = {v.path: v for v in weight_variables(self)}
        for variable in weight_variables(copy):
            variable.assign(ours[variable.path])
        return copy
