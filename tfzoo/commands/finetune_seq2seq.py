"""Fine-tunes a T5, BART, Marian or other encoder-decoder on pairs of texts.

    tfzoo finetune-seq2seq --preset hf://google/flan-t5-small --train news.jsonl \
        --source-column article --target-column title --source-prefix "summarize: " \
        --measures rougeL rouge1 --output runs/titles

Reads a table (.csv, .tsv, .jsonl, .json, .parquet; each also .gz) or
`tfds:NAME[/config][:split]`, or parallel text files. It may be about translation,
summaries, titles or whatever turns a text into another. Output is as for
`train-translator`, and `transformers` opens the model. The same command continues an
interrupted run, with bit-identical results.
"""

from typing import Literal

from tfzoo import cli
from tfzoo import command_arguments as args

BATCH_SIZE = 16  # if the user sets neither a number of pairs nor of tokens
LONGEST = 512  # tokens of either side, if the user sets no other number


def main(
    preset: args.Preset,
    output: args.ResumableOutput,
    source: args.SourceFiles = (),
    target: args.TargetFiles = (),
    train: str | None = None,
    source_column: args.SourceColumn = None,
    target_column: args.TargetColumn = None,
    header: args.Header = True,
    validation_source: args.SourceFiles = (),
    validation_target: args.TargetFiles = (),
    validation: str | None = None,
    source_prefix: args.SourcePrefix = "",
    epochs: int = 3,
    steps_per_evaluation: args.StepsBetween = None,
    batch_size: int | None = None,
    tokens_per_batch: int | None = None,
    max_sequence_length: int | None = None,
    learning_rate: args.PeakLearningRate = 5e-5,
    weight_decay: args.WeightDecay = 0.01,
    label_smoothing: float = 0.0,
    lora_rank: args.LoraRank = None,
    keep: Literal["best", "last"] = "best",
    measures: args.Measures = ("bleu", "chrf"),
    bleu_tokenizer: args.BleuTokenizer = "13a",
    scored_texts: args.ScoredTexts = 200,
    num_beams: int = 4,
    length_penalty: args.LengthPenalty = None,
    max_new_tokens: args.MaxNewTokens = None,
    seed: args.Seed = 0,
    dtype: args.ComputeDtype = "float32",
    strategy: args.Strategy = "none",
    on_non_finite: args.OnNonFinite = "stop",
    jit_compile: args.CompileStep = False,
):
    """Fine-tunes a T5, BART, Marian or other encoder-decoder on pairs of texts.

    Args:
        train: File (.tsv, .csv, .jsonl, .json, .parquet; each also .gz) or
            tfds:NAME[/config][:split], with a column for either side.
        validation: A table for validation. Without one, and without validation files, a
            tenth of the pairs, at most about 2000, is held out by a hash of their
            sources.
        epochs: Number of passes over the pairs.
        batch_size: Number of pairs per update; default 16.
        tokens_per_batch: Instead of it: maximum number of tokens of the longer side of
            a batch, including padding.
        max_sequence_length: Maximum number of tokens of either side; what is longer is
            cut, with a warning that counts. Defaults to 512, or to the model's own if
            that is smaller.
        label_smoothing: Fraction of a target spread over the vocabulary, in [0, 1).
        keep: The epoch whose weights become the result: the one of the best first
            measure (of the lowest loss if no texts are scored), or the last one.
        num_beams: Number of beams of the texts at the end.
    """
    arguments = cli.settings(locals())
    import keras

    from tfzoo.checkpoints.references import local_directory
    from tfzoo.tasks import Seq2SeqLM
    from tfzoo.tasks.command_runs import open_run, print_written
    from tfzoo.tasks.seq2seq.pair_files import training_pairs, with_prefix
    from tfzoo.tasks.seq2seq.pair_runs import train_on_pairs
    from tfzoo.tasks.seq2seq.text_scores import require_measures
    from tfzoo.training.distribution import strategy as named_strategy

    if batch_size is not None and tokens_per_batch is not None:
        raise ValueError(
            "Either batch_size or tokens_per_batch must be given, not both. Received: "
            f"batch_size={batch_size}, tokens_per_batch={tokens_per_batch}"
        )
    if measures:
        require_measures(measures, bleu_tokenizer)
    if tokens_per_batch is None and batch_size is None:
        batch_size = BATCH_SIZE
    pairs, held_out, sources = training_pairs(
        source,
        target,
        train,
        validation_source,
        validation_target,
        validation,
        source_column=source_column,
        target_column=target_column,
        header=header,
        seed=seed,
    )
    pairs, held_out = (with_prefix(p, source_prefix) for p in (pairs, held_out))
    model = local_directory(preset)
    with open_run(
        output,
        arguments,
        sources=sources,
        presets=[model],
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return
        keras.utils.set_random_seed(seed)
        with named_strategy(strategy).scope():
            task = Seq2SeqLM.from_preset(
                model, dtype=dtype, max_sequence_length=max_sequence_length
            )
            if lora_rank is not None:
                task.enable_lora(lora_rank)
        if max_sequence_length is None:
            task.max_sequence_length = min(task.max_sequence_length, LONGEST)
        train_on_pairs(
            run,
            task,
            pairs,
            held_out,
            sources=[train] if train else [*source, *target],
            epochs=epochs,
            steps_per_evaluation=steps_per_evaluation,
            tokens_per_batch=tokens_per_batch,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            jit_compile=jit_compile,
            measures=measures,
            tokenize=bleu_tokenizer,
            scored_texts=scored_texts,
            keep=keep,
            seed=seed,
            validation_batch_size=batch_size or BATCH_SIZE,
            generation=dict(
                num_beams=num_beams,
                length_penalty=length_penalty,
                max_new_tokens=max_new_tokens,
            ),
            adapter_base=preset,
        )
    print_written(output)
