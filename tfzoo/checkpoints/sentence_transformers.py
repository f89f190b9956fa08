"""The files that sentence-transformers adds to a backbone's directory.

`modules.json` lists the modules in order: the backbone, whose files are in the same
directory; the pooling, which has a folder; and optionally a normalization, which needs
none. `sentence_bert_config.json` has the length at which texts are truncated.

Source: the files of sentence-transformers 2 to 6, https://github.com/huggingface/
    sentence-transformers
"""

import json
import re

from tfzoo.errors import CheckpointError, shown
from tfzoo.files import read_json

MODULES = "modules.json"
POOLING_CONFIG = "config.json"
_CUTTING = "sentence_bert_config.json"
_CUTTINGS = (
    _CUTTING,
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
)
_PROMPTS = "config_sentence_transformers.json"
_TOKENIZER = "tokenizer_config.json"
# Name of a pooling mode since version 6, which we use -> its field in older versions
_MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_IMPLEMENTED = {"mean": "mean", "cls": "cls", "lasttoken": "last"}  # -> our names
_CHAINS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


def read_modules(directory, *, hidden_dim, num_positions):
    """Reads how token vectors are pooled into the vector of a text.

    Args:
        directory: A `pathlib.Path` with the files of the backbone.
        hidden_dim: Size of the backbone's vectors.
        num_positions: Length in tokens of the longest text the backbone can read.

    Returns:
        Dict of `pooling`, `normalize` and, if the files give it,
        `max_sequence_length`; empty if the directory has no `modules.json`.

    Raises:
        CheckpointError: a file is invalid, or needs something that is not supported.
    """
    if not (directory / MODULES).exists():
        return {}
    chain = _chain(directory / MODULES)
    folder = chain["Pooling"]
    if not re.fullmatch(r"\w[\w.-]*", folder):
        raise CheckpointError(
            f"The path of a module must be a folder name. Received: {shown(folder)}.",
            path=directory / MODULES,
        )
    _refuse_prompts(directory / _PROMPTS)
    return {
        "pooling": _pooling(directory / folder / POOLING_CONFIG, hidden_dim),
        "normalize": "Normalize" in chain,
        **_max_sequence_length(directory, num_positions),
    }


def _chain(path):
    """Class name of each module -> its folder, in the order they are applied."""
    modules = read_json(path, CheckpointError, kind=list)
    for i, module in enumerate(modules):
        fields = module if isinstance(module, dict) else {}
        if not all(isinstance(fields.get(name), str) for name in ("type", "path")):
            raise CheckpointError(
                "A module must have a type and a path.", path=path, tensor=f"[{i}]"
            )
    kinds = [module["type"].split(".")[-1] for module in modules]
    if kinds not in _CHAINS:
        raise CheckpointError(
            f"The modules must be {' or '.join(map(', '.join, _CHAINS))}. "
            f"Received: {', '.join(kinds)[:200]}.",
            path=path,
        )
    if modules[0]["path"]:
        raise CheckpointError(
            "The backbone must be in the directory itself. "
            f"Received: {shown(modules[0]['path'])}.",
            path=path,
        )
    return dict(zip(kinds, (module["path"] for module in modules), strict=True))


def _pooling(path, hidden_dim):
    config = read_json(path, CheckpointError)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, field in _MODES.items() if config.get(field)]
    modes = [modes] if isinstance(modes, str) else modes
    if (
        not isinstance(modes, list)
        or len(modes) != 1
        or modes[0] not in [*_IMPLEMENTED]
    ):
        raise CheckpointError(
            f"The pooling mode must be one of {', '.join(_IMPLEMENTED)}. "
            f"Received: {shown(modes)}.",
            path=path,
            tensor="pooling_mode",
        )
    for field in ("word_embedding_dimension", "embedding_dimension"):
        if config.get(field, hidden_dim) != hidden_dim:
            raise CheckpointError(
                f"Must be the backbone's hidden size, {hidden_dim}. "
                f"Received: {shown(config[field])}.",
                path=path,
                tensor=field,
            )
    return _IMPLEMENTED[modes[0]]


def _refuse_prompts(path):
    """Raises `CheckpointError` if a default prompt is to be prepended to every text."""
    if path.exists():
        name = read_json(path, CheckpointError).get("default_prompt_name")
        if name is not None:
            raise CheckpointError(
                f"Prompts are not supported. Received: {shown(name)}.",
                path=path,
                tensor="default_prompt_name",
                fix="Set it to null and prepend the prompt to the texts yourself.",
            )


def _max_sequence_length(directory, num_positions):
    """A dict with `max_sequence_length`, or empty if no file gives it."""
    for path in (directory / name for name in _CUTTINGS):
        config = read_json(path, CheckpointError) if path.exists() else {}
        if config.get("do_lower_case"):
            raise CheckpointError(
                "Lowercasing before the tokenizer is not supported.",
                path=path,
                tensor="do_lower_case",
                fix="Set do_lower_case in tokenizer_config.json instead.",
            )
        length = config.get("max_seq_length")
        if length is not None:
            if type(length) is not int or not 2 < length <= num_positions:
                raise CheckpointError(
                    f"Must be from 3 to {num_positions}, the backbone's number of "
                    f"positions. Received: {shown(length)}.",
                    path=path,
                    tensor="max_seq_length",
                )
            return {"max_sequence_length": length}
    path = directory / _TOKENIZER  # has it since version 6
    length = read_json(path, CheckpointError) if path.exists() else {}
    length = length.get("model_max_length")
    # A tokenizer without a limit has 1e30.
    if type(length) is int and 2 < length <= num_positions:
        return {"max_sequence_length": length}
    return {}


def write_modules(directory, *, pooling, normalize, hidden_dim, max_sequence_length):
    """Writes these files so that every version of sentence-transformers can read them.

    Args:
        directory: A `pathlib.Path` with the files of the backbone.
        pooling: `"mean"`, `"cls"` or `"last"`.
        normalize: Whether the vectors are scaled to unit length.
        hidden_dim: Size of the backbone's vectors.
        max_sequence_length: Length in tokens at which texts are truncated.
    """
    chain = _CHAINS[1] if normalize else _CHAINS[0]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(chain)
    ]
    # Only the modes known to the oldest version that has this one
    known = [*_MODES.items()][: None if pooling == "last" else 4]
    fields = {field: _IMPLEMENTED.get(mode) == pooling for mode, field in known}
    cutting = {"max_seq_length": max_sequence_length, "do_lower_case": False}
    folder = directory / modules[1]["path"]
    folder.mkdir()
    for path, value in [
        (directory / MODULES, modules),
        (directory / _CUTTING, cutting),
        (folder / POOLING_CONFIG, {"word_embedding_dimension": hidden_dim, **fields}),
    ]:
        path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
