"""Our block of a `config.json`: the arguments of a task."""

from tfzoo.errors import CheckpointError
from tfzoo.files import read_json
from tfzoo.text.tokenizer_files import CONFIG


def stored_task_arguments(config, path, class_name, known):
    """The `"tfzoo"` block of a `config.json`, if it is that of `class_name`.

    Of what stands in public fields as well, these count.

    Args:
        config: The content of the file.
        path: The file, for the errors.
        class_name: Name of the task's class.
        known: Dict of argument -> type.

    Raises:
        CheckpointError: an argument is of another type.
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
                f"Not a sensible value: {value!r}.", path=path, tensor=f"tfzoo.{name}"
            )
    if "max_sequence_length" in found:
        found |= _cut_by_tokenizer(path.parent / CONFIG)
    return found


def _cut_by_tokenizer(path):
    """Where texts are cut, as the tokenizer's file has it, which other tools change."""
    config = read_json(path, CheckpointError) if path.exists() else {}
    length = config.get("model_max_length")
    # A tokenizer that knows of no limit has 1e30.
    is_limit = type(length) is int and 2 < length < 1 << 24
    return {"max_sequence_length": length} if is_limit else {}
