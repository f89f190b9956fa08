"""What the commands that train share: presets, the run, and its last line."""

import pathlib

from tfzoo.checkpoints.references import local_directory
from tfzoo.data.readers import files_and_data_sets
from tfzoo.errors import printable
from tfzoo.families.preset_backbone import named_size
from tfzoo.files import local_path
from tfzoo.training.fingerprints import fingerprint
from tfzoo.training.runs import Run

ADAPTER = "adapter"  # name of the directory of a result with the adapters


def size_or_directory(preset, sizes):
    """The name of a size, as str, or the `pathlib.Path` of a model's directory.

    Raises:
        CheckpointError: `preset` is neither, or cannot be downloaded.
    """
    return preset if named_size(preset, sizes) is not None else local_directory(preset)


def open_run(output, arguments, *, sources, presets, on_non_finite):
    """The `Run` of a command, with the fingerprint of all that it reads.

    Args:
        output: The output directory.
        arguments: Dict of what determines the result, from `cli.settings`.
        sources: Files and names of data sets.
        presets: Directories of models and tokenizers; names of sizes are skipped.
        on_non_finite: As in `Run`.
    """
    files, data_sets = files_and_data_sets(sources)
    files += dict.fromkeys(p for p in presets if isinstance(p, pathlib.Path))
    data = fingerprint(files, output=output) | data_sets
    return Run(output, arguments, data=data, on_non_finite=on_non_finite)


def save_result(task, path, *, adapter_base, **description):
    """Writes the directory of a task and, if it has adapters, these in `adapter`.

    Args:
        task: The task.
        path: The directory, which must not exist yet.
        adapter_base: As `base` in `save_adapter`.
        **description: As in `save_to_preset`.
    """
    task.save_to_preset(path, **description)
    if task.has_adapters:
        task.save_adapter(path / ADAPTER, base=adapter_base)


def print_written(output):
    """Prints what a finished run has written."""
    adapter = f"{ADAPTER}/, " if (local_path(output) / ADAPTER).is_dir() else ""
    print(
        f"wrote {printable(output)}: the model, {adapter}metrics.json, curves.json, "
        "curves.png, run.json, logs/"
    )
