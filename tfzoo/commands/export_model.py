"""Writes a trained model as the next version of a SavedModel for TF Serving.

    tfzoo export-model --preset runs/mail --output saved_models/mail
    tfzoo export-model --preset runs/gpt --output saved_models/gpt \
        --max-new-tokens 200 --temperature 0.8 --top-p 0.95
    tfzoo export-model --preset runs/en_de --output saved_models/en_de --num-beams 4

Reads the preset directory of any task: the output of `finetune-classifier`,
`pretrain-bert`, `pretrain-gpt`, `finetune-gpt`, `train-translator` or
`finetune-seq2seq`, a tagger or a question-answering model (or one of `transformers`,
also on the Hugging Face Hub: `hf://ORG/NAME`). Writes `saved_models/mail/1`, the next
time `2`, and so on, with `models.config` and `batching_parameters.txt` next to them.
Versions are written atomically. `saved_models/README.md` describes how to serve them;
`predict` runs them locally.
"""

import pathlib
import shlex

from tfzoo.errors import ExportError, OutputError, printable


def main(
    preset: str,
    output: pathlib.Path,
    jit_compile: bool = False,
    top_k: int | None = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    repetition_penalty: float | None = None,
    num_beams: int | None = None,
    length_penalty: float | None = None,
    early_stopping: bool = False,
    no_repeat_ngram_size: int | None = None,
    min_new_tokens: int | None = None,
    seed: int | None = None,
    chat: bool = False,
    system: str | None = None,
):
    """Writes a trained model as the next version of a SavedModel for TF Serving.

    Args:
        preset: Directory of a classifier, a tagger, a question-answering model, a GPT,
            a translator or summarizer, an embedder (also one of sentence-transformers),
            or a pretrained BERT, which is exported as a masked-word model; or
            hf://ORG/NAME.
        output: Directory of the versions; its name becomes the model's name.
        jit_compile: Compile the numeric core with XLA when it is served. TF Serving on
            a CPU then needs `--xla_cpu_compilation_enabled=true`.
        top_k: For a masked-word model, number of words per gap; default 5. For a model
            that generates text, sample only from this many most likely tokens; default
            0, from all.
        max_new_tokens: For a model that generates text, maximum number of new tokens in
            a request; default 64 for a GPT, or half the context if that is smaller, and
            256 for a translator.
        temperature: For a model that generates text, default for requests, like the
            options below. Above 1 more random, below 1 less; 0 takes the most likely
            token.
        top_p: Sample only from the most likely tokens whose probabilities add up to
            this; default 1, from all.
        repetition_penalty: A value above 1 makes tokens that have occurred less likely;
            default 1.
        num_beams: For a model that generates text, number of beams, the same for all
            requests; default 1, for none.
        length_penalty: Exponent of the length by which the score of a beam is divided;
            default 1.
        early_stopping: Whether to stop when there are as many finished beams as beams;
            the same for all requests.
        no_repeat_ngram_size: No sequence of this many tokens occurs twice; the same for
            all requests.
        min_new_tokens: Minimum number of new tokens; the same for all requests.
        seed: Seed for sampling; default 0.
        chat: For a model with a chat template: prompts are messages of the user, and
            the model answers.
        system: Text of the system's message in a chat.
    """
    from tfzoo import tasks
    from tfzoo.files import local_path, utf8_path
    from tfzoo.serving.versions import version_numbers
    from tfzoo.training.fingerprints import refuse_inside

    utf8_path(output, OutputError)
    version_numbers(output)
    if local_path(preset).is_dir():
        refuse_inside(local_path(preset), output)
    task = tasks.from_preset(preset)
    asked = {
        "top_k": top_k,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "num_beams": num_beams,
        "length_penalty": length_penalty,
        "early_stopping": early_stopping or None,
        "no_repeat_ngram_size": no_repeat_ngram_size,
        "min_new_tokens": min_new_tokens,
        "seed": seed,
        "chat": chat or None,
        "system": system,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    if unknown := sorted({*asked} - {*task.served_options()}):
        raise ExportError(
            f"The options must be options of {type(task).__name__}. "
            f"Received: {', '.join(unknown)}.",
            path=preset,
            fix="Leave them out.",
        )
    version = task.export_version(output, jit_compile=jit_compile, **asked)
    print(f"wrote {printable(version)}")
    arguments = '--text "..."'
    if isinstance(task, tasks.QuestionAnswerer):
        arguments = '--question "..." --context "..."'
    elif getattr(task, "text_pair", False):
        arguments += ' --text-pair "..."'
    if isinstance(task, tasks.Seq2SeqLM):
        print(f"for files: tfzoo translate --model {shlex.quote(printable(version))}")
    print(
        f"try it: tfzoo predict --model {shlex.quote(printable(version))} {arguments}"
    )
