"""The files that make a backbone's directory one of sentence-transformers.

`modules.json` lists what a text passes through: the backbone, whose files lie in the
directory itself; the pooling, which has a folder; perhaps a normalisation, which needs
none. `sentence_bert_config.json` says where texts are cut.

Source: the files of sentence-transformers 2 to 6, https://github.com/huggingface/
    sentence-transformers
"""

import json
import re

from tfzoo.errors import CheckpointError
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
# Name of a mode since version 6, which is ours -> the field that said so before
_MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
IMPLEMENTED = ("mean", "cls")
_CHAINS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


def read_modules(directory, *, hidden_dim, num_positions):
    """How the vectors of tokens become that of a text.

    Args:
        directory: A `pathlib.Path`, with the files of the backbone.
        hidden_dim: Width of the backbone's vectors.
        num_positions: The longest text in tokens that the backbone can read.

    Returns:
        Dict of `pooling`, `normalize` and, where the files say it,
        `max_sequence_length`; empty if the directory has no `modules.json`.

    Raises:
        CheckpointError: a file breaks a rule, or asks for what is not implemented.
    """
    if not (directory / MODULES).exists():
        return {}
    chain = _chain(directory / MODULES)
    folder = chain["Pooling"]
    if not re.fullmatch(r"\w[\w.-]*", folder):
        raise CheckpointError(
            f"The path of a module must be the name of a folder. Received: {folder!r}.",
            path=directory / MODULES,
        )
    _refuse_prompts(directory / _PROMPTS)
    return {
        "pooling": _pooling(directory / folder / POOLING_CONFIG, hidden_dim),
        "normalize": "Normalize" in chain,
        **_max_sequence_length(directory, num_positions),
    }


def _chain(path):
    """Name of each module's class -> its folder, in the order of a text."""
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
            f"Implemented are {' and '.join(map(', '.join, _CHAINS))}. "
            f"Received: {', '.join(kinds)[:200]}.",
            path=path,
        )
    if modules[0]["path"]:
        raise CheckpointError(
            "The backbone must lie in the directory itself. "
            f"Received: {modules[0]['path']!r:.200}.",
            path=path,
        )
    return dict(zip(kinds, (module["path"] for module in modules), strict=True))


def _pooling(path, hidden_dim):
    config = read_json(path, CheckpointError)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, field in _MODES.items() if config.get(field)]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in IMPLEMENTED:
        raise CheckpointError(
            f"The mode must be one of {', '.join(IMPLEMENTED)}. "
            f"Received: {modes!r:.200}.",
            path=path,
            tensor="pooling_mode",
        )
    for field in ("word_embedding_dimension", "embedding_dimension"):
        if config.get(field, hidden_dim) != hidden_dim:
            raise CheckpointError(
                f"Must be the backbone's width, {hidden_dim}. "
                f"Received: {config[field]!r:.200}.",
                path=path,
                tensor=field,
            )
    return modes[0]


def _refuse_prompts(path):
    """A default prompt would stand before every text."""
    if path.exists():
        name = read_json(path, CheckpointError).get("default_prompt_name")
        if name is not None:
            raise CheckpointError(
                f"Prompts are not implemented. Received: {name!r:.200}.",
                path=path,
                tensor="default_prompt_name",
                fix="Set it to null, and write the prompt before the texts.",
            )


def _max_sequence_length(directory, num_positions):
    """`max_sequence_length`, from the file that says it, as a dict; or nothing."""
    for path in (directory / name for name in _CUTTINGS):
        config = read_json(path, CheckpointError) if path.exists() else {}
        if config.get("do_lower_case"):
            raise CheckpointError(
                "Lowercasing before the tokenizer is not implemented.",
                path=path,
                tensor="do_lower_case",
                fix="Set do_lower_case in tokenizer_config.json instead.",
            )
        length = config.get("max_seq_length")
        if length is not None:
            if type(length) is not int or not 2 < length <= num_positions:
                raise CheckpointError(
                    f"Must be 3 to {num_positions}, the backbone's positions. "
                    f"Received: {length!r:.200}.",
                    path=path,
                    tensor="max_seq_length",
                )
            return {"max_sequence_length": length}
    path = directory / _TOKENIZER  # says it since version 6
    length = read_json(path, CheckpointError) if path.exists() else {}
    length = length.get("model_max_length")
    # A tokenizer that knows of no limit has 1e30.
    if type(length) is int and 2 < length <= num_positions:
        return {"max_sequence_length": length}
    return {}


def write_modules(directory, *, pooling, normalize, hidden_dim, max_sequence_length):
    """Writes these files, which every version of sentence-transformers reads.

    Args:
        directory: A `pathlib.Path` with the files of the backbone.
        pooling: `"mean"` or `"cls"`.
        normalize: Whether the vectors have length 1.
        hidden_dim: Width of the backbone's vectors.
        max_sequence_length: Where texts are cut, in tokens.
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
    # The modes that the oldest version knows.
    fields = {field: mode == pooling for mode, field in [*_MODES.items()][:4]}
    cutting = {"max_seq_length": max_sequence_length, "do_lower_case": False}
    folder = directory / modules[1]["path"]
    folder.mkdir()
    for path, value in [
        (directory / MODULES, modules),
        (directory / _CUTTING, cutting),
        (folder / POOLING_CONFIG, {"word_embedding_dimension": hidden_dim, **fields}),
    ]:
        path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
