"""Fine-tunes a GPT on your own text.

    tfzoo finetune-gpt --preset runs/gpt --input letters/*.txt \
        --output runs/letters --validation held_out.txt

The preset is a directory written by `pretrain-gpt` or `transformers`, or a model on
the Hugging Face Hub (`hf://openai-community/gpt2`); its tokenizer is used. Input and
output are as for `pretrain-gpt`. The same command continues an interrupted run, with
bit-identical results.
"""

import pathlib

from tfzoo import cli
from tfzoo import command_arguments as args


def main(
    input: args.TextFiles,
    preset: args.Preset,
    output: args.ResumableOutput,
    validation: tuple[pathlib.Path, ...] = (),
    epochs: int = 3,
    batch_size: int = 8,
    learning_rate: args.PeakLearningRate = 5e-5,
    weight_decay: args.WeightDecay = 0.01,
    lora_rank: args.LoraRank = None,
    max_sequence_length: int | None = None,
    document_borders: args.DocumentBorders = True,
    documents: args.Documents = "auto",
    text_column: args.TextColumnIfAny = "text",
    header: args.Header = True,
    seed: args.Seed = 0,
    dtype: args.ComputeDtype = "float32",
    strategy: args.Strategy = "none",
    on_non_finite: args.OnNonFinite = "stop",
    jit_compile: args.CompileStep = False,
):
    """Fine-tunes a GPT on your own text.

    Args:
        validation: Files of held-out text, evaluated after each epoch (the first 2048
            windows).
        epochs: Number of passes over the text.
        batch_size: Number of windows per update.
        max_sequence_length: Tokens per window. Defaults to the model's context.
    """
    arguments = cli.settings(locals())
    from tfzoo.checkpoints.references import local_directory
    from tfzoo.tasks.causal_lm.text_runs import open_tokenizer, train_on_text
    from tfzoo.tasks.command_runs import open_run, print_written

    model = local_directory(preset)
    words = open_tokenizer(model)
    with open_run(
        output,
        arguments,
        sources=[*input, *validation],
        presets=[model],
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return
        train_on_text(
            run,
            **{**arguments, "preset": model, "tokenizer": words},
            adapter_base=preset,
        )
    print_written(output)
