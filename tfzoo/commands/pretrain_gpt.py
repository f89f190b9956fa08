"""Pretrains a GPT on your own text: next-token prediction.

    tfzoo pretrain-gpt --input text/*.txt --tokenizer runs/tokenizer \
        --preset gpt_mini --steps 10000 --output runs/gpt --validation held_out.txt

Reads text files verbatim (.txt: a document per file; .tsv, .csv, .jsonl, .json,
.parquet: a document per record; each also .gz) and packs the documents into windows,
without attention across document borders. Writes checkpoints while it runs and, at the
end, a preset (which `finetune-gpt` and `transformers` open), `metrics.json`,
`curves.json`, `curves.png` and TensorBoard `logs/`.

The same command continues an interrupted run, with bit-identical results.
"""

import pathlib
import shlex

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable


def main(
    input: args.TextFiles,
    tokenizer: str,
    preset: str,
    steps: int,
    output: args.ResumableOutput,
    validation: tuple[pathlib.Path, ...] = (),
    batch_size: int = 16,
    learning_rate: args.PeakLearningRate = 1e-3,
    weight_decay: args.WeightDecay = 0.1,
    max_sequence_length: int = 256,
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
    """Pretrains a GPT on your own text: next-token prediction.

    Args:
        tokenizer: Directory of a byte-level BPE or SentencePiece tokenizer, such as the
            output of `train-tokenizer --kind byte_bpe`, or hf://ORG/NAME.
        preset: Name of a size, for random weights (gpt_tiny, gpt_mini, gpt_small, gpt2,
            llama_tiny, llama_mini, llama_small, smollm2_135m and those in the README);
            or directory of a model to continue from, or hf://ORG/NAME.
        steps: Number of updates.
        validation: Files of held-out text, evaluated every 500 steps and at the end
            (the first 2048 windows).
        batch_size: Number of windows per update.
        max_sequence_length: Tokens per window, and context of a new model.
    """
    arguments = cli.settings(locals())
    from tfzoo.checkpoints.references import local_directory
    from tfzoo.tasks import CausalLM
    from tfzoo.tasks.causal_lm.text_runs import open_tokenizer, train_on_text
    from tfzoo.tasks.command_runs import open_run, print_written, size_or_directory

    model = size_or_directory(preset, CausalLM.named_sizes())
    vocabulary = local_directory(tokenizer, weights=False)
    words = open_tokenizer(vocabulary)
    with open_run(
        output,
        arguments,
        sources=[*input, *validation],
        presets=[vocabulary, model],
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return
        train_on_text(run, **{**arguments, "preset": model, "tokenizer": words})
    print_written(output)
    print(f"next: tfzoo finetune-gpt --preset {shlex.quote(printable(output))} ...")
