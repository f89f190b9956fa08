"""Continues a text with a trained GPT, word by word in the terminal.

    python recipes/generate_text.py --preset runs/gpt --prompt "Once upon a time"
    python recipes/generate_text.py --preset runs/gpt --prompt "To be" --temperature 0

The preset is a directory that `pretrain_gpt.py`, `finetune_gpt.py` or `transformers`
wrote, or a model of the Hugging Face hub (`hf://openai-community/gpt2`). The text goes
to the standard output, nothing else does.
"""

import sys

from tfzoo import cli


def main(
    preset: str,
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
        preset: Directory of a model with its tokenizer, or hf://ORG/NAME.
        prompt: Text to continue; without it a new text begins.
        max_new_tokens: Most tokens to come; as many as the context leaves.
        temperature: Above 1 bolder, below 1 more careful, 0 always the likeliest.
        top_k: Draw from so many of the likeliest tokens; 0 from all.
        top_p: Draw from the likeliest tokens that reach this probability.
        repetition_penalty: Above 1 makes tokens rarer that occurred.
        stop: Texts after which to stop.
        seed: Names the text; otherwise every run gives another.
        jit_compile: Compile by XLA: some seconds first, about twice as fast then.
    """
    from tfzoo.tasks import CausalLM

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
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")
    cli.run(main)
