"""Trains a Transformer from scratch to translate, on parallel text.

    tfzoo train-translator --source train.en --target train.de \
        --validation-source val.en --validation-target val.de \
        --preset transformer_mini --epochs 20 --output runs/en_de

Reads parallel text files (each also .gz), or a table with a column for either side.
Trains a tokenizer on both languages, then the model; translates part of the validation
text after each epoch. Writes checkpoints while it runs and, at the end, a preset (which
`translate`, `evaluate-seq2seq` and `export-model` open), `metrics.json` with BLEU and
chrF of beam search and their signatures, `curves.json`, `curves.png` and TensorBoard
`logs/`.

The same command continues an interrupted run, with bit-identical results.
"""

import shlex
from typing import Literal

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable


def main(
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
    preset: str = "transformer_mini",
    num_layers: int | None = None,
    num_decoder_layers: int | None = None,
    hidden_dim: int | None = None,
    intermediate_dim: int | None = None,
    num_heads: int | None = None,
    dropout: float | None = None,
    norm_first: bool = False,
    tokenizer: str | None = None,
    target_tokenizer: str | None = None,
    tokenizer_kind: Literal["unigram", "bpe"] = "unigram",
    vocabulary_size: int = 8000,
    separate_vocabularies: bool = False,
    epochs: args.SeveralEpochs = None,
    steps: int | None = None,
    steps_per_evaluation: args.StepsBetween = None,
    tokens_per_batch: int = 4096,
    max_sequence_length: int = 256,
    learning_rate: args.PeakLearningRate = 1e-3,
    weight_decay: args.WeightDecay = 0.01,
    label_smoothing: float = 0.1,
    average_last: int = 1,
    measures: args.Measures = ("bleu", "chrf"),
    bleu_tokenizer: args.BleuTokenizer = "13a",
    scored_texts: args.ScoredTexts = 200,
    num_beams: int = 4,
    length_penalty: args.LengthPenalty = None,
    max_new_tokens: args.MaxNewTokens = None,
    batch_size: int = 32,
    seed: args.Seed = 0,
    dtype: args.ComputeDtype = "float32",
    strategy: args.Strategy = "none",
    on_non_finite: args.OnNonFinite = "stop",
    jit_compile: args.CompileStep = False,
):
    """Trains a Transformer from scratch to translate, on parallel text.

    Args:
        train: Instead of source and target: a table (.tsv, .csv, .jsonl, .json,
            .parquet; each also .gz) or tfds:NAME[/config][:split].
        validation: Instead of validation files: a table. Without either, a tenth of the
            pairs, at most about 2000, is held out by a hash of their sources.
        preset: Name of a size: transformer_tiny, transformer_mini, transformer_small,
            transformer_base or transformer_big; the arguments that follow override it.
        num_layers: Number of layers of the encoder, and of the decoder.
        num_decoder_layers: Number of layers of the decoder, if it is another.
        hidden_dim: Width.
        intermediate_dim: Width of the feed-forward networks; four times that of the
            model if only that is given.
        num_heads: Number of attention heads per layer.
        dropout: Fraction of each sublayer's output to drop, in [0, 1).
        norm_first: Normalize the input of each sublayer (pre-norm), which trains deep
            models more easily, instead of its sum with the output.
        tokenizer: Directory of a tokenizer, or hf://ORG/NAME. Without one, it is
            trained on the training text.
        target_tokenizer: Directory of a tokenizer of targets, if it is another.
        tokenizer_kind: Algorithm of SentencePiece.
        vocabulary_size: Maximum number of pieces of a vocabulary.
        separate_vocabularies: Train a tokenizer for each language, instead of one for
            both. Source and target then share no embeddings.
        steps: Number of updates, instead of epochs.
        tokens_per_batch: Maximum number of tokens of the longer side of a batch,
            including padding.
        max_sequence_length: Maximum number of tokens of either side; what is longer is
            cut, with a warning that counts.
        label_smoothing: Fraction of a target spread over the vocabulary, in [0, 1).
        average_last: The result is the mean of the weights of this many last epochs.
        num_beams: Number of beams of the translations at the end.
        batch_size: Number of validation pairs at a time.
    """
    arguments = cli.settings(locals())
    import keras

    from tfzoo.checkpoints.references import local_directory
    from tfzoo.errors import TokenizerError
    from tfzoo.families import TransformerEncoderDecoder
    from tfzoo.tasks import Seq2SeqLM
    from tfzoo.tasks.command_runs import open_run, print_written
    from tfzoo.tasks.seq2seq.pair_files import training_pairs
    from tfzoo.tasks.seq2seq.pair_runs import train_on_pairs
    from tfzoo.tasks.seq2seq.pair_tokenizers import trained_tokenizers
    from tfzoo.tasks.seq2seq.text_scores import require_measures
    from tfzoo.text import tokenizer_from_preset
    from tfzoo.training.distribution import strategy as named_strategy

    if (epochs is None) == (steps is None):
        raise ValueError(
            "Either epochs or steps must be given. "
            f"Received: epochs={epochs}, steps={steps}"
        )
    if tokenizer is None and target_tokenizer is not None:
        raise ValueError(
            "target_tokenizer must only be given with a tokenizer. "
            f"Received: {target_tokenizer!r}"
        )
    if tokenizer is not None and separate_vocabularies:
        raise ValueError(
            "separate_vocabularies is for tokenizers that are trained: give "
            f"target_tokenizer instead. Received: tokenizer={tokenizer!r}"
        )
    own_sizes = TransformerEncoderDecoder.family.sizes
    if preset not in own_sizes:
        raise ValueError(
            f"preset must be one of {', '.join(own_sizes)}. Received: {preset!r}"
        )
    if measures:
        require_measures(measures, bleu_tokenizer)
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
    directories = [
        local_directory(place, weights=False)
        for place in (tokenizer, target_tokenizer)
        if place is not None
    ]
    given = [tokenizer_from_preset(directory) for directory in directories]
    for words, directory in zip(given, directories, strict=True):
        if "end" not in words.special_names:
            raise TokenizerError(
                "The tokenizer of a translator must be a SentencePiece or byte-level "
                f"BPE. Received: {words.description}.",
                path=directory,
            )
    with open_run(
        output,
        arguments,
        sources=sources,
        presets=directories,
        on_non_finite=on_non_finite,
    ) as run:
        if run.finished:
            return
        if not given:
            given = trained_tokenizers(
                pairs,
                run.checkpoints,
                algorithm=tokenizer_kind,
                vocabulary_size=vocabulary_size,
                separate=separate_vocabularies,
            )
        sizes = dict(
            num_layers=num_layers,
            num_decoder_layers=num_decoder_layers,
            hidden_dim=hidden_dim,
            intermediate_dim=intermediate_dim,
            num_heads=num_heads,
            dropout=dropout,
        )
        if hidden_dim is not None and intermediate_dim is None:
            sizes["intermediate_dim"] = 4 * hidden_dim
        keras.utils.set_random_seed(seed)
        with named_strategy(strategy).scope():
            backbone = Seq2SeqLM.backbone_of_size(
                preset,
                given[0],
                target_tokenizer=given[-1],
                dtype=dtype,
                norm_first=norm_first,
                max_sequence_length=max_sequence_length,
                **{name: size for name, size in sizes.items() if size is not None},
            )
            task = Seq2SeqLM(backbone, given[0], target_tokenizer=given[-1])
        train_on_pairs(
            run,
            task,
            pairs,
            held_out,
            sources=[train] if train else [*source, *target],
            epochs=epochs,
            steps=steps,
            steps_per_evaluation=steps_per_evaluation,
            tokens_per_batch=tokens_per_batch,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            jit_compile=jit_compile,
            measures=measures,
            tokenize=bleu_tokenizer,
            scored_texts=scored_texts,
            keep="last",
            average_last=average_last,
            seed=seed,
            validation_batch_size=batch_size,
            generation=dict(
                num_beams=num_beams,
                length_penalty=length_penalty,
                max_new_tokens=max_new_tokens,
            ),
        )
    print_written(output)
    print(f"next: tfzoo translate --model {shlex.quote(printable(output))} ...")
