"""Writes a fine-tuned model as the next version of a SavedModel for TF Serving.

    python recipes/export_model.py --preset runs/mail --output saved_models/mail

Reads the preset directory that `finetune_classifier.py` or `pretrain_bert.py` wrote (or
one of `transformers`) and writes `saved_models/mail/1`, the next time `2`, and so on,
beside them `models.config` and `batching_parameters.txt`. A version is written whole or
not at all. `saved_models/README.md` tells how to serve it; `predict.py` asks it here.
"""

import pathlib

from tfzoo import cli


def main(
    preset: pathlib.Path,
    output: pathlib.Path,
    jit_compile: bool = False,
    top_k: int = 5,
):
    """Writes a fine-tuned model as the next version of a SavedModel for TF Serving.

    Args:
        preset: Directory of a classifier or of a pretrained model, which is exported
            as one that fills gaps.
        output: Folder of the versions; its name becomes the model's name.
        jit_compile: Compile the numeric part by XLA when it is served. TF Serving on a
            CPU then needs `--xla_cpu_compilation_enabled=true`.
        top_k: Words for each gap, where the model fills gaps.
    """
    from tfzoo import tasks
    from tfzoo.errors import ExportError

    task = tasks.from_preset(preset)
    if isinstance(task, tasks.CausalLM):
        raise ExportError(
            "A model that generates text cannot be exported yet. Received: a CausalLM.",
            path=preset,
            fix="Use recipes/generate_text.py.",
        )
    if isinstance(task, tasks.BertPretrainer):
        task = tasks.MaskedLM.from_preset(preset)
    options = {"jit_compile": jit_compile}
    if isinstance(task, tasks.MaskedLM):
        options["top_k"] = top_k
    version = task.export_version(output, **options)
    print(f"wrote {version}")
    print(f'ask it: python recipes/predict.py --model {version} --text "..."')


if __name__ == "__main__":
    cli.run(main)
