"""Converts a checkpoint of any supported format to Hugging Face's format.

    tfzoo convert-checkpoint --input uncased_L-2_H-128_A-2 --output bert
    tfzoo convert-checkpoint --input keras_hub://bert_tiny_en_uncased \
        --output tiny --task MaskedLM --dtype bfloat16

Reads whatever tfzoo opens: a directory in Hugging Face's, KerasHub's, Google's or
OpenAI's format, which is detected, `hf://ORG/NAME` or `keras_hub://NAME`. The output
opens in tfzoo and in `transformers`. Prints what was found, and which weights are new
or unused.
"""

import logging
import pathlib
from typing import Literal


def main(
    input: str,
    output: pathlib.Path,
    task: str | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] | None = None,
    max_shard_size: int | None = None,
):
    """Converts a checkpoint of any supported format to Hugging Face's format.

    Args:
        input: Directory, hf://ORG/NAME[@REVISION] or keras_hub://NAME.
        output: Output directory; must not exist.
        task: Class of the model to write, such as MaskedLM. Defaults to the class named
            in the checkpoint, or to the backbone if there is none.
        dtype: Dtype of the saved weights. Defaults to float32.
        max_shard_size: Maximum bytes of weights per file. Defaults to a single file.
    """
    from tfzoo import families, tasks
    from tfzoo.checkpoints.fields import SIZES
    from tfzoo.checkpoints.references import local_directory
    from tfzoo.errors import printable
    from tfzoo.families.opening import open_checkpoint
    from tfzoo.files import refuse_existing
    from tfzoo.text import tokenizer_from_preset

    refuse_existing(output, allow_empty=True)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("tfzoo").setLevel(logging.INFO)  # reports new and unused weights
    model_class = None if task is None else tasks.class_named(task)
    directory = local_directory(input)
    found = open_checkpoint(directory)
    model_class = model_class or tasks.class_of(found.config)
    options = {"dtype": dtype, "max_shard_size": max_shard_size}
    if model_class is None:
        model = families.class_of(found.config, found.path).from_preset(directory)
        backbone, tokenizer = model, tokenizer_from_preset(directory)
        options["tokenizer"] = tokenizer
    else:
        model = model_class.from_preset(directory)
        backbone, tokenizer = model.backbone, model.tokenizer
    labels = getattr(model, "labels", None) or ["none"]
    for name, value in {
        "model": f"{type(model).__name__} of {type(backbone).__name__}",
        **{name: getattr(backbone, name) for name in (*SIZES, "activation")},
        "tokenizer": tokenizer.description,
        "labels": ", ".join(printable(name, 80) for name in labels),
    }.items():
        print(f"{name:>20} {value}")
    model.save_to_preset(output, **options)
    print(f"wrote {printable(output)}")
