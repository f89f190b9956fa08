"""Continues a text with a trained GPT, printing it as it is generated.

    tfzoo generate-text --preset runs/gpt --prompt "Once upon a time"
    tfzoo generate-text --preset runs/gpt --prompt "To be" --temperature 0

The preset is a directory written by `pretrain-gpt`, `finetune-gpt` or
`transformers`, or a model on the Hugging Face Hub (`hf://openai-community/gpt2`). Only
the text is written to standard output.
"""

import itertools
import sys

from tfzoo import command_arguments as args


def main(
    preset: args.Preset,
    prompt: str = "",
    max_new_tokens: int = 200,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 0.95,
    repetition_penalty: float = 1.0,
    stop: tuple[str, ...] = (),
    seed: int | None = None,
    jit_compile: bool = True,
):
    """Continues a text with a trained GPT.

    Args:
        prompt: Text to continue. Without one, a new text is generated.
        max_new_tokens: Maximum number of new tokens; limited by the context.
        temperature: Above 1 more random, below 1 less; 0 takes the most likely token.
        top_k: Sample only from this many most likely tokens; 0 for all.
        top_p: Sample only from the most likely tokens whose probabilities add up to
            this.
        repetition_penalty: A value above 1 makes tokens that have occurred less likely.
        stop: Strings at which to stop.
        seed: Seed for sampling. Without one, every run gives another text.
        jit_compile: Compile with XLA: takes some seconds, then about twice as fast.
    """
    from tfzoo.errors import printable
    from tfzoo.tasks import CausalLM

    # Python escapes bytes that are not of the encoding that it expects of a terminal
    prompt = prompt.encode(errors="surrogateescape").decode(errors="replace")
    model = CausalLM.from_preset(preset)
    context = model.backbone.max_sequence_length
    pieces = model.stream(
        prompt,
        max_new_tokens=min(max_new_tokens, context - 1),
        temperature=temperature,
        top_k=min(top_k, model.backbone.vocabulary_size),
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        stop_strings=list(stop),
        seed=seed,
        truncation="left",
        jit_compile=jit_compile,
    )
    is_terminal = sys.stdout.isatty()  # in a file, the text is exact
    for piece in itertools.chain([prompt], pieces):
        shown = printable(piece, lines=True) if is_terminal else piece
        print(shown, end="", flush=True)
    print()
