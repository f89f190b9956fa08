"""Tensors in a file that are not model weights, and names prefixed by wrappers."""

import re

from tfzoo.errors import CheckpointError

# Matches the beginning of names of tensors that no task uses: the state of a loss, such
# as class weights, and buffers that hold 0, 1, 2, ... or only zeros.
NO_WEIGHTS = (
    r"(.*\.)?(loss|loss_\w+|\w+_loss|criterion\w*)(\.|$)"
    r"|(.*\.)?(pos_weights?|class_weights?|label_weights?)$"
    r"|(.*\.)?(position_ids|token_type_ids)$"
)
# Name parts added by wrappers: DataParallel, `torch.compile`, FSDP.
_WRAPPERS = (
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
)
_WRAPPED = re.compile(rf"(?:^|(?<=\.))(?:{'|'.join(_WRAPPERS)})\.")


def refuse_wrapped(tensors, prefix, anchor):
    """Raises `CheckpointError` if a wrapper has been saved with the model.

    Args:
        tensors: `Tensors` of a file under Hugging Face's names.
        prefix: Prefix of the backbone's names in a task's file.
        anchor: Name of a tensor that every file of the model has, without the prefix.
    """
    plain, pieces, first = False, {}, None
    for name in sorted(tensors.names):
        found, bare = _WRAPPED.findall(name), _WRAPPED.sub("", name)
        if bare == anchor or bare.endswith(f".{anchor}"):
            before = bare.removesuffix(anchor).removesuffix(prefix)
            plain = plain or not before
            found += [before] if before else []
        pieces |= dict.fromkeys(found)
        first = first or (name if found else None)
    if not pieces or plain and not {*pieces} & {f"{w}." for w in _WRAPPERS}:
        return
    quoted = " and ".join(map(repr, pieces))
    stripped = "".join(f".replace({piece!r}, '')" for piece in pieces)
    raise CheckpointError(
        "Tensor names must be those of the model itself. Received: names with "
        f"{quoted}, which a wrapper added.",
        path=tensors.path,
        tensor=first,
        fix="Save the wrapped model (model.module, model._orig_mod), or rewrite the "
        f"file with each name n replaced by n{stripped}.",
    )
