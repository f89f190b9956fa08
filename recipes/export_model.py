"""Writes a trained model as the next version of a SavedModel for TF Serving.

    python recipes/export_model.py --preset runs/mail --output saved_models/mail
    python recipes/export_model.py --preset runs/gpt --output saved_models/gpt \
        --max-new-tokens 200 --temperature 0.8 --top-p 0.95

Reads the preset directory of any task: what `finetune_classifier.py`,
`pretrain_bert.py`, `pretrain_gpt.py` or `finetune_gpt.py` wrote, a tagger or a model
that answers questions (or one of `transformers`, also on the Hugging Face hub:
`hf://ORG/NAME`), and writes
`saved_models/mail/1`, the next time `2`, and so on, beside them `models.config` and
`batching_parameters.txt`. A version is written whole or not at all.
`saved_models/README.md` tells how to serve it; `predict.py` asks it here.
"""

import pathlib

from tfzoo import cli
from tfzoo.errors import ExportError


def main(
    preset: str,
    output: pathlib.Path,
    jit_compile: bool = False,
    top_k: int | None = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    repetition_penalty: float | None = None,
    seed: int | None = None,
):
    """Writes a trained model as the next version of a SavedModel for TF Serving.

    Args:
        preset: Directory of a classifier, a tagger, a model that answers questions, a
            GPT, an embedder (also one of sentence-transformers), or of a pretrained
            BERT, which is exported as one that fills gaps; or hf://ORG/NAME.
        output: Folder of the versions; its name becomes the model's name.
        jit_compile: Compile the numeric part by XLA when it is served. TF Serving on a
            CPU then needs `--xla_cpu_compilation_enabled=true`.
        top_k: Words for each gap, 5 if not given, where the model fills gaps. Of a GPT,
            draw from so many of the likeliest tokens; 0, from all, if not given.
        max_new_tokens: Of a GPT, the most tokens that can be asked for; 64.
        temperature: Of a GPT, as the options below what is done unless a request says
            otherwise. Above 1 bolder, below 1 more careful; 0, always the likeliest.
        top_p: Draw from the likeliest tokens that reach this probability; 1, from all.
        repetition_penalty: Above 1 makes tokens rarer that occurred; 1.
        seed: Names what is drawn; 0.
    """
    from tfzoo import tasks

    task = tasks.from_preset(preset)
    if isinstance(task, tasks.BertPretrainer):
        task = tasks.MaskedLM.from_preset(preset)
    sampling = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
    }
    asked = {"top_k": top_k, **sampling}
    asked = {name: value for name, value in asked.items() if value is not None}
    known = {tasks.CausalLM: {*sampling, "top_k"}, tasks.MaskedLM: {"top_k"}}
    if unknown := sorted({*asked} - known.get(type(task), set())):
        raise ExportError(
            f"A {type(task).__name__} has no {', '.join(unknown)}.",
            path=preset,
            fix="Leave it out.",
        )
    version = task.export_version(output, jit_compile=jit_compile, **asked)
    print(f"wrote {version}")
    arguments = '--text "..."'
    if isinstance(task, tasks.QuestionAnswerer):
        arguments = '--question "..." --context "..."'
    elif getattr(task, "text_pair", False):
        arguments += ' --text-pair "..."'
    print(f"ask it: python recipes/predict.py --model {version} {arguments}")


if __name__ == "__main__":
    cli.run(main)
