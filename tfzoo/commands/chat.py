"""Talks with a model in the terminal: a line is a message, and the answer follows.

    tfzoo chat --preset models/SmolLM2-135M-Instruct
    tfzoo chat --preset models/SmolLM2-135M-Instruct --system "Answer in one sentence."

The preset is a directory of a model with a chat template, or a model on the Hugging
Face Hub (`hf://HuggingFaceTB/SmolLM2-135M-Instruct`). The conversation begins anew with
a line `/new`, and ends with `/quit` or the end of the input, which may be a file.
"""

import sys

from tfzoo import command_arguments as args

NEW, QUIT = "/new", "/quit"


def main(
    preset: args.Preset,
    system: str | None = None,
    max_new_tokens: int = 256,
    temperature: float = 0.7,
    top_k: int = 0,
    top_p: float = 0.95,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    jit_compile: bool = True,
):
    """Talks with a model in the terminal: a line is a message, and the answer follows.

    Args:
        system: Text of the system's message, before the conversation.
        max_new_tokens: Maximum number of tokens of an answer; limited by the context.
        temperature: Above 1 more random, below 1 less; 0 takes the most likely token.
        top_k: Sample only from this many most likely tokens; 0 for all.
        top_p: Sample only from the most likely tokens whose probabilities add up to
            this.
        repetition_penalty: A value above 1 makes tokens that have occurred less likely.
        seed: Seed for sampling. Without one, every run gives other answers.
        jit_compile: Compile with XLA: takes some seconds for each length, then about
            twice as fast.
    """
    from tfzoo.errors import TfzooError, printable
    from tfzoo.tasks import CausalLM

    model = CausalLM.from_preset(preset)
    if model.chat_template is None:
        raise TfzooError(
            "The model must have a chat template.",
            path=preset,
            fix="Use `tfzoo generate-text`, which continues texts.",
        )
    options = dict(
        max_new_tokens=min(max_new_tokens, model.backbone.max_sequence_length - 1),
        temperature=temperature,
        top_k=min(top_k, model.backbone.vocabulary_size),
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        jit_compile=jit_compile,
    )
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    start = [] if system is None else [{"role": "system", "content": system}]
    messages = [*start]
    while (line := _line(is_terminal)) is not None and line != QUIT:
        if line == NEW:
            messages = [*start]
            continue
        if not line.strip():
            continue
        asked = [*messages, {"role": "user", "content": line}]
        answer = ""
        try:
            for piece in model.stream_chat(asked, **options):
                answer += piece
                # in a file, the text is exact
                shown = printable(piece, lines=True) if is_terminal else piece
                print(shown, end="", flush=True)
        except ValueError as e:
            print(f"not answered: {e}", file=sys.stderr)
            continue
        except KeyboardInterrupt:  # ends the answer, not the conversation
            if not is_terminal:
                raise
        print()
        messages = [*asked, {"role": "assistant", "content": answer}]


def _line(is_terminal):
    """The next line of the input, without its end; None at the end of the input."""
    if is_terminal:
        print("> ", end="", flush=True)
    line = sys.stdin.readline()
    if not line:
        return None
    # Python escapes bytes that are not of the encoding that it expects of a terminal
    line = line.encode(errors="surrogateescape").decode(errors="replace")
    return line.rstrip("\r\n")
