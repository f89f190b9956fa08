"""Reads and writes the generation options in a checkpoint's files.

They are in `generation_config.json`, or in `config.json` of older checkpoints.
"""

import json
import logging

from tfzoo.checkpoints.preset_files import MAX_CONFIG_BYTES
from tfzoo.errors import CheckpointError, shown
from tfzoo.files import read_json
from tfzoo.generation.neutral import NEUTRAL, is_neutral
from tfzoo.generation.options import BEAMS, PENALTIES, SAMPLING
from tfzoo.generation.rules import is_id
from tfzoo.tasks.causal_lm.generation_options import OPTIONS, OURS

NAME = "generation_config.json"
# Fields that do not affect texts, and those that are read
_OTHERS = {
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "return_dict_in_generate",
    "transformers_version",
}
_UNASKED = {
    **SAMPLING,
    **BEAMS,
    **PENALTIES,
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
}

logger = logging.getLogger("tfzoo")


def stored_end_ids(config, path, applied=()):
    """The ids that end a text, a list; None if the files contain none.

    `generation_config.json` takes precedence over `config.json`. Other options in it,
    such as a temperature, are logged and not applied: only the options of a call count.

    Args:
        config: Dict of the fields of `config.json`.
        path: Path of that file; `generation_config.json` is in the same directory.
        applied: Names of other options that are.

    Raises:
        CheckpointError: the ids have another type.
    """
    own = path.parent / NAME
    fields = {}
    if own.is_file():
        fields = read_json(own, CheckpointError, MAX_CONFIG_BYTES)
    _tell_of_others(fields or config, own if fields else path, applied)
    for found, place in ((fields, own), (config, path)):
        if found.get("eos_token_id") is not None:
            ids = _within(found["eos_token_id"], config.get("vocab_size"), place)
            if ids:
                return ids
    return None


def _within(found, vocabulary_size, path):
    """The ids of a field that are in the vocabulary; the others are logged.

    `transformers` also writes GPT-2's 50256 for smaller vocabularies.
    """
    ids = found if isinstance(found, list) else [found]
    if not ids or not all(is_id(i, 2**31) for i in ids):
        raise CheckpointError(
            f"Must be an id >= 0, or a list of ids. Received: {shown(found)}.",
            path=path,
            tensor="eos_token_id",
            fix="Remove the field to use the tokenizer's end token.",
        )
    limit = vocabulary_size if isinstance(vocabulary_size, int) else 2**31
    beyond = [i for i in ids if i >= limit]
    if beyond:
        logger.warning(
            "%s: eos_token_id: %s is ignored, because ids must be in [0, %d]",
            path,
            shown(beyond if len(beyond) > 1 else beyond[0]),
            limit - 1,
        )
    return [i for i in ids if i < limit]


def _tell_of_others(fields, path, applied):
    options = {*OPTIONS, *OURS, *NEUTRAL} - _OTHERS - {*applied}
    asked = [
        f"{name}={shown(value)}"
        for name, value in fields.items()
        if name in options and not _changes_nothing(name, value)
    ]
    if asked:
        logger.warning(
            "%s: not applied, pass it to generate: %s", path, ", ".join(asked)
        )


def _changes_nothing(name, value):
    if name in NEUTRAL:
        return is_neutral(name, value)
    return value is None or (name in _UNASKED and value == _UNASKED[name])


def write_end_ids(directory, end_ids, begin_id, **others):
    """Writes `generation_config.json` for `transformers`.

    Args:
        directory: The directory.
        end_ids: The ids that end a text.
        begin_id: The id of the token before a text.
        **others: Further fields.
    """
    fields = {"bos_token_id": begin_id, "eos_token_id": as_field(end_ids), **others}
    text = json.dumps(fields, indent=2)
    (directory / NAME).write_text(f"{text}\n", encoding="utf-8")


def as_field(ids):
    """Ids as a JSON field: a single id, or a list."""
    return ids[0] if len(ids) == 1 else list(ids)
