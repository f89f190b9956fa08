"""Translates or summarizes a file line by line.

    tfzoo translate --model runs/en_de --input news.en --output news.de
    tfzoo translate --model saved_models/en_de < news.en > news.de

The model is a preset or a SavedModel of an encoder-decoder. Every line of the input
gives one line of the output; an empty one stays empty, and line breaks in a target
become spaces. A part of the lines is in memory at a time. The output appears when it is
complete, and an existing file is never overwritten; standard output is written part by
part.
"""

import contextlib
import sys

from tfzoo import cli
from tfzoo import command_arguments as args


def main(
    model: args.Translator,
    input: str = "-",
    output: str = "-",
    source_prefix: args.SourcePrefix = "",
    num_beams: args.NumBeams = None,
    length_penalty: args.LengthPenalty = None,
    max_new_tokens: args.MaxNewTokens = None,
    min_new_tokens: args.MinNewTokens = None,
    no_repeat_ngram_size: args.NoRepeatNgramSize = None,
    batch_size: int = 32,
    jit_compile: args.CompileDecoding = False,
):
    """Translates or summarizes a file line by line.

    Args:
        input: Text file (UTF-8, also .gz) with a source per line; - for standard input.
        output: File to write, which must not exist; - for standard output.
        batch_size: Number of lines to decode at a time.
    """
    cli.check_numbers(locals())
    from tqdm import tqdm

    from tfzoo.errors import DataError
    from tfzoo.files import local_path, refuse_existing, written_beside
    from tfzoo.tasks.seq2seq.translators import in_chunks, open_translator
    from tfzoo.text.lines import numbered_lines, stream_lines

    if output != "-":
        refuse_existing(output)
    total, lines = None, None
    if input == "-":
        lines = stream_lines(sys.stdin.buffer, "standard input")
    else:  # read once before, so that what is wrong is told before any work
        total = sum(1 for _ in numbered_lines(local_path(input), DataError))
        lines = numbered_lines(local_path(input), DataError)
    texts = (text.removesuffix("\n").removesuffix("\r") for _, text in lines)
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
    with contextlib.ExitStack() as stack:
        file = sys.stdout
        if output != "-":
            path = stack.enter_context(written_beside(output))
            file = stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))
        bar = tqdm(total=total, unit="line", disable=None)
        stack.enter_context(bar)
        sources = (source_prefix + text if text.strip() else "" for text in texts)
        for targets in in_chunks(translate, sources):
            file.writelines(f"{' '.join(text.splitlines())}\n" for text in targets)
            file.flush()
            bar.update(len(targets))
