"""Backbones in directories of Hugging Face's format, and named sizes."""

import logging
import os

from tfzoo.checkpoints.checksums import tell_changes
from tfzoo.checkpoints.fields import refuse_untied
from tfzoo.checkpoints.hub import PushToHub
from tfzoo.checkpoints.preset_files import model_card, write_preset
from tfzoo.checkpoints.references import is_remote
from tfzoo.checkpoints.renamed import Renamed, Source
from tfzoo.checkpoints.weights import (
    dtype_fields,
    load_weights,
    refuse_larger_than,
    save_weights,
)
from tfzoo.errors import CheckpointError, printable, refuse_unknown
from tfzoo.families.family import class_of
from tfzoo.families.opening import open_checkpoint
from tfzoo.files import local_path
from tfzoo.layers.initializers import at_random, left_at_zero
from tfzoo.layers.keywords import KnownKeywords, keywords_of
from tfzoo.models.frozen import weight_variables
from tfzoo.models.lora import merged_variables
from tfzoo.weight_files import num_bytes_of

logger = logging.getLogger("tfzoo")
_OUTPUT_BIAS = "next_token_head/bias"  # files of backbones lack it


def named_size(preset, sizes):
    """The arguments of a named size; None if `preset` is a checkpoint.

    Args:
        preset: A size name, a directory, or a remote reference (see `is_remote`).
        sizes: Dict of name -> arguments.

    Raises:
        CheckpointError: `preset` is none of these.
    """
    if str(preset) in sizes:
        return sizes[str(preset)]
    if not is_remote(preset) and not os.path.isdir(local_path(preset)):
        raise CheckpointError(
            "A preset must be a directory, hf://ORG/NAME, keras_hub://NAME or a size "
            "name.",
            path=preset,
            fix=f"The sizes are {', '.join(sizes)}.",
        )
    return None


class PresetBackbone(KnownKeywords, PushToHub):
    """Mixin that reads and writes the directory of a backbone.

    The decorator `declared` sets `family`.
    """

    @classmethod
    def from_preset(cls, preset, **arguments):
        """Loads a checkpoint, or creates a named size with random weights.

        Args:
            preset: A directory, `hf://ORG/NAME[@REVISION]` or `keras_hub://NAME`, as in
                `open_checkpoint`, or a size name such as `"bert_tiny"` or `"gpt2"`.
            **arguments: Constructor arguments that override the preset's; for a
                checkpoint, only those that do not change the weights.

        Raises:
            CheckpointError: the checkpoint is invalid.
            TypeError: an argument does not exist; the message suggests similar ones.
        """
        refuse_unknown(f"{cls.__name__}.from_preset", arguments, keywords_of(cls))
        size = named_size(preset, cls.family.sizes)
        if size is not None:
            logger.warning("%s is the name of a size: its weights are random.", preset)
            return cls(**{**size, **arguments})
        found = open_checkpoint(preset)
        class_of(found.config, found.path)  # raises if there is none
        backbone = cls.before_reading(found, **arguments)
        backbone.read(
            found.tensors,
            weight_variables(backbone),
            cls.family.backbone_names(backbone, found.tensors.names),
        )
        return backbone

    @classmethod
    def before_reading(cls, found, **arguments):
        """Creates the backbone of an opened `Checkpoint`, without reading its weights.

        Args:
            found: The `Checkpoint`.
            **arguments: As in `from_preset`.
        """
        tell_changes(found.config, found.path, is_ours=found.has_checksums)
        family = cls.family
        sizes = family.from_checkpoint(found)
        refuse_larger_than(
            found.tensors, sizes, family.fields, family.names, found.path
        )
        with left_at_zero():
            backbone = cls(**{**sizes, **arguments})
        if backbone.ties_output and "ties_output" not in arguments:
            copies = family.copies(backbone, found.tensors.names)
            refuse_untied(found.config, found.path, copies)
        return backbone

    def read(self, tensors, variables, names, *, heads=(), new=(), tied=False):
        """Assigns the weights of a checkpoint and logs missing and unused ones.

        Missing weights that the checkpoint may lack stay random and are logged as a
        warning; unused tensors are logged at level INFO.

        Args:
            tensors: `Tensors` of the checkpoint.
            variables: Variables to assign, of this backbone or of a task with it.
            names: Dict of variable path -> `Stored`.
            heads: First components of variable paths that the checkpoint may lack, in
                addition to the pooler.
            new: Paths of variables that the checkpoint is known to lack.
            tied: Whether the embedding is also the output layer of a task, so that a
                tensor for the output layer must be a copy of it.

        Returns:
            Sorted list of the paths of the missing weights.
        """
        tied = tied or self.ties_output
        copies = self.family.copies(self, tensors.names, ties_output=tied)
        alone = {n: copy for copy, n in copies.items() if n not in tensors.names}
        if alone:  # a file may contain either of two equal tensors
            copies = {copy: n for copy, n in copies.items() if n not in alone}
            others = {n: n for n in tensors.names - {*alone.values()}}
            names_here = {**others, **alone}.items()
            tensors = Renamed(tensors, [(n, Source(there)) for n, there in names_here])
        lacking = load_weights(
            tensors,
            variables,
            names,
            new=("pooler/", _OUTPUT_BIAS, *(f"{head}/" for head in heads)),
            unused=self.family.may_be_left_out,
            copies=copies,
        )
        read = {*copies, *(names[variable.path].name for variable in variables)}
        if tensors.names - read:
            names = sorted(tensors.names - read)
            logger.info("Unused: %s", ", ".join(printable(n, 120) for n in names))
        lacking = [path for path in lacking if path != _OUTPUT_BIAS]  # it is zero
        at_random(v for v in self.variables if v.path in lacking)
        new = sorted([*lacking, *new])
        if new:
            logger.warning("New, random weights: %s", ", ".join(new))
        return new

    def save_to_preset(
        self, directory, *, tokenizer=None, dtype=None, max_shard_size=None
    ):
        """Writes a directory that `from_preset` and `transformers` can open.

        Args:
            directory: Must not exist yet.
            tokenizer: Tokenizer to write with the weights, with the family's layout, or
                None.
            dtype: Data type of the weights in the file: `"float32"`, `"float16"` or
                `"bfloat16"`. Defaults to that of the variables.
            max_shard_size: Maximum bytes of weights per file; None for a single file.
        """
        family, weights = self.family, merged_variables(self)
        tokenizer = tokenizer and family.laid_out(tokenizer)
        config = family.to_config(self.get_config(), extra=dtype_fields(weights, dtype))
        names = family.backbone_names(self, present=())
        card = model_card(
            type(self).__name__,
            model_type=family.model_type,
            facts={f.name: config[f.name] for f in family.fields.values()},
            tokenizer=tokenizer and tokenizer.description,
        )

        def write_rest(beside):
            save_weights(
                beside, weights, names, dtype=dtype, max_shard_size=max_shard_size
            )
            if tokenizer is not None:
                tokenizer.save_to_preset(
                    beside, max_sequence_length=self.max_sequence_length
                )

        size = num_bytes_of(weights, dtype)
        write_preset(directory, config, card, write_rest, size=size)
