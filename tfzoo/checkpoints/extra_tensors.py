"""Tensors of a file that are no weights of its model, and names that are wrapped."""

import re

from tfzoo.errors import CheckpointError

# Begin the names of what no task computes with: the state of a loss, such as the
# weights of its classes, and buffers that hold 0, 1, 2, ... or nothing but zeros.
NO_WEIGHTS = (
    r"(.*\.)?(loss|loss_\w+|\w+_loss|criterion\w*)(\.|$)"
    r"|(.*\.)?(pos_weights?|class_weights?|label_weights?)$"
    r"|(.*\.)?(position_ids|token_type_ids)$"
)
# What a wrapper puts into the names: of several devices, of `torch.compile`, of FSDP.
_WRAPPERS = (
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
)
_WRAPPED = re.compile(rf"(?:^|(?<=\.))(?:{'|'.join(_WRAPPERS)})\.")


def refuse_wrapped(tensors, prefix, anchor):
    """Raises `CheckpointError` where a wrapper stands in the names of the weights.

    Args:
        tensors: `Tensors` of a file under Hugging Face's names.
        prefix: What stands before the names of the backbone in a task's file.
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
        f"The names must be those of the model itself. Received: {quoted} in them, put "
        "there by a wrapper.",
        path=tensors.path,
        tensor=first,
        fix="Save the model that is wrapped (model.module, model._orig_mod), or write "
        f"the file anew with n{stripped} in place of every name n.",
    )
