"""A run that trains a causal language model on text files.

Shared by `pretrain_gpt.py` and `finetune_gpt.py`.
"""

import keras

from tfzoo.data.packing import open_packed_text
from tfzoo.data.readers import source_names
from tfzoo.data.whole_text import WholeText
from tfzoo.errors import TokenizerError
from tfzoo.families.preset_backbone import named_size
from tfzoo.tasks.causal_lm.causal_lm import CausalLM
from tfzoo.tasks.command_runs import save_result
from tfzoo.text.preset_tokenizer import tokenizer_from_preset
from tfzoo.training.distribution import strategy as named_strategy

STEPS_PER_EPOCH = 500  # between two evaluations, if `steps` is set
MAX_VALIDATION_WINDOWS = 2048


def open_tokenizer(directory):
    """The tokenizer of a directory, of a kind that a decoder can have.

    Raises:
        TokenizerError: a file is missing or invalid, or it is of another kind.
    """
    tokenizer = tokenizer_from_preset(directory)
    if "end" not in tokenizer.special_names:
        raise TokenizerError(
            "The tokenizer of a decoder must be a byte-level BPE or SentencePiece. "
            f"Received: {tokenizer.description}.",
            path=directory,
        )
    return tokenizer


def train_on_text(
    run,
    preset,
    tokenizer,
    *,
    input,
    validation=(),
    steps=None,
    epochs=None,
    batch_size,
    learning_rate,
    weight_decay,
    max_sequence_length=None,
    document_borders=True,
    documents="auto",
    text_column="text",
    header=True,
    seed=0,
    dtype="float32",
    strategy="none",
    jit_compile=False,
    lora_rank=None,
    adapter_base=None,
):
    """Trains in a `Run` that is not finished, and finishes it.

    Args:
        run: The `Run`.
        preset: A size name for random weights, or the directory of a model.
        tokenizer: The tokenizer.
        input: Files, as in `WholeText`.
        validation: Files with held-out text. The first 2048 windows are evaluated after
            each epoch, which is 500 steps if `steps` is set.
        steps: Number of updates; alternative to `epochs`.
        epochs: Number of passes over all windows.
        batch_size: Windows per update.
        learning_rate: Peak learning rate, after a warmup over a tenth of the steps.
        weight_decay: As in `AdamW`.
        max_sequence_length: Tokens per window, and number of positions of a model with
            random weights. Defaults to the preset's.
        document_borders: As in `CausalLM`.
        documents: Where documents end, as in `WholeText`.
        text_column: Column of the text in files with columns.
        header: Whether line 1 of a `.tsv` or `.csv` has the column names.
        seed: Seed of all random choices.
        dtype: Data type of the computation; weights stay float32.
        strategy: `"none"` or `"mirrored"`.
        jit_compile: Whether XLA compiles the training step.
        lora_rank: Rank of the adapters to train instead of all weights, or None.
        adapter_base: As `base` in `save_adapter`.

    Returns:
        Dict of the final metrics.
    """
    keras.utils.set_random_seed(seed)
    with named_strategy(strategy).scope():
        task = _task(preset, tokenizer, max_sequence_length, document_borders, dtype)
        if lora_rank is not None:
            task.enable_lora(lora_rank)

    def open_text(paths):
        return open_packed_text(
            WholeText(paths, documents, text_column, header=header),
            tokenizer,
            cache_directory=run.checkpoints / "text",
            max_sequence_length=task.max_sequence_length,
            start_id=task.tokenizer.begin_id,
            document_borders=document_borders,
            seed=seed,
        )

    source = open_text(input)
    print(
        f"{source.num_tokens} tokens in {source.num_examples} windows of "
        f"{task.max_sequence_length}, {batch_size} per step"
    )
    if epochs is None:
        steps_per_epoch = min(STEPS_PER_EPOCH, steps)
    else:
        steps_per_epoch = -(-source.num_examples // batch_size)
        steps = epochs * steps_per_epoch
    held_out = None
    if validation:
        held_out = open_text(validation).validation_batches(
            batch_size, max_examples=MAX_VALIDATION_WINDOWS
        )
    task.compile(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        total_steps=steps,
        jit_compile=jit_compile,
    )
    run.fit(
        task,
        lambda start: source.batches(batch_size, start_step=start),
        steps_per_epoch=steps_per_epoch,
        total_steps=steps,
        validation_data=held_out,
    )
    metrics = {k: v for k, v in run.record.epochs[-1].items() if k != "epoch"}

    def save(path):
        save_result(
            task,
            path,
            adapter_base=adapter_base,
            training_data=source_names(input),
            metrics=metrics,
        )

    run.finish(save, metrics)
    return metrics


def _task(preset, tokenizer, max_sequence_length, document_borders, dtype):
    options = dict(document_borders=document_borders)
    if named_size(preset, CausalLM.named_sizes()) is None:
        options["max_sequence_length"] = max_sequence_length
        return CausalLM.from_preset(preset, tokenizer=tokenizer, dtype=dtype, **options)
    # Positions that no window reaches would stay random.
    sizes = dict(dtype=dtype)
    if max_sequence_length is not None:
        sizes["max_sequence_length"] = max_sequence_length
    backbone = CausalLM.backbone_of_size(preset, tokenizer, **sizes)
    return CausalLM(backbone, tokenizer, **options)
