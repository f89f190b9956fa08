"""Evaluates a translator or summarizer: BLEU, chrF, ROUGE and length ratio.

    tfzoo evaluate-seq2seq --model runs/en_de --source test.en --target test.de
    tfzoo evaluate-seq2seq --model runs/titles --data news.jsonl \
        --source-column article --target-column title --source-prefix "summarize: "

The model is a preset or a SavedModel. Reads parallel text files or a table, decodes all
sources by beam search, and prints the scores with sacreBLEU's signatures; with
`--output`, also writes them to a JSON file.
"""

import pathlib

from tfzoo import cli
from tfzoo import command_arguments as args
from tfzoo.errors import printable


def main(
    model: args.Translator,
    source: args.SourceFiles = (),
    target: args.TargetFiles = (),
    data: str | None = None,
    source_column: args.SourceColumn = None,
    target_column: args.TargetColumn = None,
    header: args.Header = True,
    source_prefix: args.SourcePrefix = "",
    measures: args.Measures = (
        "bleu",
        "chrf",
        "rouge1",
        "rouge2",
        "rougeL",
        "length_ratio",
    ),
    bleu_tokenizer: args.BleuTokenizer = "13a",
    num_beams: args.NumBeams = None,
    length_penalty: args.LengthPenalty = None,
    max_new_tokens: args.MaxNewTokens = None,
    min_new_tokens: args.MinNewTokens = None,
    no_repeat_ngram_size: args.NoRepeatNgramSize = None,
    batch_size: int = 32,
    jit_compile: args.CompileDecoding = False,
    output: pathlib.Path | None = None,
):
    """Evaluates a translator or summarizer: BLEU, chrF, ROUGE and length ratio.

    Args:
        data: Instead of source and target: a table (.tsv, .csv, .jsonl, .json,
            .parquet; each also .gz) or tfds:NAME[/config][:split].
        batch_size: Number of sources at a time.
        output: JSON file for the metrics; must not exist.
    """
    cli.check_numbers(locals())
    from tqdm import tqdm

    from tfzoo.files import refuse_existing, write_json
    from tfzoo.tasks.seq2seq.pair_files import given_pairs, require_table, with_prefix
    from tfzoo.tasks.seq2seq.pair_runs import print_scores
    from tfzoo.tasks.seq2seq.text_scores import require_measures
    from tfzoo.tasks.seq2seq.translators import in_chunks, open_translator
    from tfzoo.training.generation_metrics import generation_scores

    if output is not None:
        refuse_existing(output)
    require_measures(measures, bleu_tokenizer)
    columns = dict(
        source_column=source_column, target_column=target_column, header=header
    )
    require_table([data], **columns)
    flags = ("--source", "--target", "--data")
    pairs = given_pairs(source, target, data, **columns, flags=flags)
    if pairs is None:
        raise ValueError("Either --source and --target or --data must be given.")
    pairs = with_prefix(pairs, source_prefix)
    translate = open_translator(
        model,
        batch_size=batch_size,
        jit_compile=jit_compile,
        num_beams=num_beams,
        length_penalty=length_penalty,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        no_repeat_ngram_size=no_repeat_ngram_size,
    )
    texts = []
    with tqdm(total=len(pairs), unit="text", disable=None) as bar:
        for targets in in_chunks(translate, pairs.sources):
            texts += targets
            bar.update(len(targets))
    metrics = generation_scores(texts, pairs.targets, measures, tokenize=bleu_tokenizer)
    metrics["pairs"] = len(pairs)
    print_scores(metrics)
    if output is not None:
        write_json(output, metrics)
        print(f"wrote {printable(output)}")
