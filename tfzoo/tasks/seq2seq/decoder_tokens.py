"""The tokens with which a decoder starts and ends, in the files of a checkpoint.

They are in `generation_config.json`, or in `config.json` of older checkpoints.
"""

from tfzoo.checkpoints.preset_files import MAX_CONFIG_BYTES
from tfzoo.errors import CheckpointError, shown
from tfzoo.files import read_json
from tfzoo.generation.rules import is_id
from tfzoo.tasks.causal_lm.generation_config import NAME, stored_end_ids

# Constructor argument -> field
FIELDS = {
    "start_token_id": "decoder_start_token_id",
    "forced_first_id": "forced_bos_token_id",
    "forced_last_id": "forced_eos_token_id",
}
_BAD = "bad_words_ids"


def stored_tokens(config, path):
    """Constructor arguments of a `Seq2SeqLM` that the files state.

    Other options, such as a number of beams, are logged and not applied: only the
    options of a call count.

    Args:
        config: The fields of `config.json`.
        path: Path of that file.

    Raises:
        CheckpointError: a field is not a token id.
    """
    own = path.parent / NAME
    fields = {}
    if own.is_file():
        fields = read_json(own, CheckpointError, MAX_CONFIG_BYTES)
    ends = stored_end_ids(config, path, applied=(*FIELDS.values(), _BAD))
    found = {"end_token_ids": ends}
    for argument, field in FIELDS.items():
        place = own if fields.get(field) is not None else path
        value = fields.get(field, config.get(field))
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None and not is_id(value, 2**24):
            raise CheckpointError(
                f"Must be a token id. Received: {shown(value)}.",
                path=place,
                tensor=field,
            )
        found[argument] = value
    words = fields.get(_BAD, config.get(_BAD)) or []
    if not isinstance(words, list) or not all(
        isinstance(word, list) and len(word) == 1 and is_id(word[0], 2**24)
        for word in words
    ):
        raise CheckpointError(
            f"Must be a list of lists of one id each. Received: {shown(words)}.",
            path=own if _BAD in fields else path,
            tensor=_BAD,
        )
    return {**found, "forbidden_ids": [word[0] for word in words]}


def fields_of(task):
    """The fields of a `Seq2SeqLM`, for `transformers`."""
    values = {field: getattr(task, name) for name, field in FIELDS.items()}
    if task.forbidden_ids:
        values[_BAD] = [[index] for index in task.forbidden_ids]
    return values
