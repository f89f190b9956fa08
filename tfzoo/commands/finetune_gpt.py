"""Fine-tunes a GPT on your own text.

    tfzoo finetune-gpt --preset runs/gpt --input letters/*.txt \
        --output runs/letters --validation held_out.txt

The preset is a directory written by `pretrain-gpt` or `transformers`, or a model on
the Hugging Face Hub (`hf://openai-community/gpt2`); its tokenizer is used. Input and
output are as for `pretrain-gpt`. The same command continues an interrupted run, with
bit-identical results.
"""

import pathlib
from typing import Literal

from tfzoo import cli


def main(
    input: tuple[pathlib.Path, ...],
    preset: str,
    output: pathlib.Path,
    validation: tuple[pathlib.Path, ...] = (),
    epochs: int = 3,
    batch_size: int = 8,
    learning_rate: float = 5e-5,
    weight_decay: float = 0.01,
    max_sequence_length: int | None = None,
    document_borders: bool = True,
    documents: Literal["auto", "blank_line", "file", "record"] = "auto",
    text_column: str = "text",
    header: bool = True,
    seed: int = 0,
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32",
    strategy: Literal["none", "mirrored"] = "none",
    on_non_finite: Literal["stop", "skip", "rewind"] = "stop",
    jit_compile: bool = False,
):
    """Fine-tunes a GPT on your own text.

    Args:
        input: Text files (.txt, .tsv, .csv, .jsonl, .json, .parquet; each also .gz).
        preset: Directory of a model with its tokenizer, or hf://ORG/NAME.
        output: Output directory: new, or begun by the same command.
        validation: Files of held-out text, evaluated after each epoch (the first 2048
            windows).
        epochs: Number of passes over the text.
        batch_size: Number of windows per update.
        learning_rate: Peak learning rate, reached after a tenth of the steps.
        weight_decay: Weight decay coefficient, multiplied by the learning rate.
        max_sequence_length: Tokens per window. Defaults to the model's context.
        document_borders: Whether tokens attend only to their own document.
        documents: What ends a document.
        text_column: Column of the text in files with columns.
        header: Whether line 1 of a .tsv or .csv has the column names.
        seed: Seed of all random choices.
        dtype: Dtype policy for computation; weights are always float32.
        strategy: mirrored trains on all GPUs of the machine.
        on_non_finite: What to do if a loss or a gradient is not finite: stop; skip the
            update; or rewind to the last checkpoint and skip it from there. An
            interrupted run may continue with another choice.
        jit_compile: Compile the training step with XLA.
    """
    arguments = cli.settings(locals())
    from tfzoo.checkpoints.references import local_directory
    from tfzoo.tasks.causal_lm.text_runs import train_on_text
    from tfzoo.tasks.command_runs import open_run, print_written
    from tfzoo.text import ByteBPETokenizer

    model = local_directory(preset)
    words = ByteBPETokenizer.from_preset(model)
    with open_run(
        output,
        arguments,
        sources=[*input, *validation],
        presets=[model],
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return
        train_on_text(run, **{**arguments, "preset": model, "tokenizer": words})
    print_written(output)
