"""A run that trains a `Seq2SeqLM` on pairs of texts.

Shared by `train_translator.py` and `finetune_seq2seq.py`.
"""

import numpy as np

from tfzoo.data.pair_batches import PairBatches, padded_pairs
from tfzoo.data.readers import source_names
from tfzoo.generation.options import GenerationOptions
from tfzoo.tasks.command_runs import save_result
from tfzoo.tasks.seq2seq.text_scores import TextScores
from tfzoo.tasks.task import XLA_LENGTH_MULTIPLE
from tfzoo.training.averaging import KeepLast
from tfzoo.training.callbacks import KeepBest
from tfzoo.training.generation_metrics import generation_scores


def train_on_pairs(
    run,
    task,
    pairs,
    held_out,
    *,
    sources,
    epochs=None,
    steps=None,
    steps_per_evaluation=None,
    tokens_per_batch=None,
    batch_size=None,
    learning_rate,
    weight_decay,
    label_smoothing,
    jit_compile,
    measures,
    tokenize,
    scored_texts,
    keep,
    average_last=1,
    seed,
    validation_batch_size,
    generation,
    adapter_base=None,
):
    """Trains in a `Run` that is not finished, and finishes it.

    Args:
        run: The `Run`.
        task: The `Seq2SeqLM`, built the same way each time, with the same seeds.
        pairs: `TextPairs` to train on.
        held_out: `TextPairs` to evaluate.
        sources: Files and data sets of `pairs`, for the model card.
        epochs: Number of passes over the pairs; alternative to `steps`.
        steps: Number of updates.
        steps_per_evaluation: Updates between two evaluations. Defaults to a pass over
            the pairs.
        tokens_per_batch: As in `Seq2SeqLM.fit`; alternative to `batch_size`.
        batch_size: Pairs per batch.
        learning_rate: Peak learning rate, after a warmup over a tenth of the steps.
        weight_decay: As in `AdamW`.
        label_smoothing: As in `compile`.
        jit_compile: Whether XLA compiles the training step, and decoding.
        measures: Of the generated texts, as in `generation_scores`; empty for none.
        tokenize: As in `generation_scores`.
        scored_texts: How many of `held_out` are translated in each evaluation,
            greedily; 0 for none.
        keep: "best" for the weights of the evaluation with the highest first measure,
            or with the lowest loss if no text is scored then; "last" for the last ones.
        average_last: With "last", of how many last evaluations to take the mean.
        seed: Seed of the order.
        validation_batch_size: Pairs per batch of an evaluation.
        generation: `num_beams`, `length_penalty` and `max_new_tokens` of `generate` for
            the texts that are scored at the end.
        adapter_base: As `base` in `save_adapter`.

    Returns:
        Dict of the final metrics, on all of `held_out`.

    Raises:
        ValueError: there are fewer evaluations than `average_last`, or `generation` is
            invalid.
    """
    GenerationOptions(**generation).limits([1], task.backbone.max_sequence_length)
    encoded = task.encoded_sources(pairs.sources), task.encoded_targets(pairs.targets)
    plan = dict(
        tokens_per_batch=tokens_per_batch,
        batch_size=batch_size,
        multiple=XLA_LENGTH_MULTIPLE if jit_compile else 1,
    )
    lengths = [np.diff(side.row_splits) for side in encoded]
    batches_per_pass = PairBatches(*lengths, **plan).num_batches
    if steps is None:
        steps = epochs * batches_per_pass
    steps_per_evaluation = min(steps_per_evaluation or batches_per_pass, steps)
    evaluations = -(-steps // steps_per_evaluation)
    if average_last > evaluations:
        raise ValueError(
            "average_last must be at most the number of evaluations. Received: "
            f"average_last={average_last}, and {evaluations} evaluations in {steps} "
            f"steps, one after every {steps_per_evaluation}"
        )
    print(
        f"{len(pairs)} pairs in {batches_per_pass} batches, {steps} steps; "
        f"{len(held_out)} pairs for validation"
    )
    task.compile(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        total_steps=steps,
        label_smoothing=label_smoothing,
        jit_compile=jit_compile,
    )
    decoding = dict(batch_size=validation_batch_size, jit_compile=jit_compile)
    callbacks, monitor = [], "val_loss"
    if measures and scored_texts:
        callbacks.append(
            TextScores(
                held_out.sources[:scored_texts],
                held_out.targets[:scored_texts],
                measures,
                tokenize=tokenize,
                **decoding,
                max_new_tokens=generation["max_new_tokens"],
            )
        )
        monitor = f"val_{measures[0]}"
    if keep == "best":
        mode = "min" if monitor == "val_loss" else "max"
        callbacks.append(KeepBest(run.checkpoints, monitor=monitor, mode=mode))
    elif average_last > 1:
        callbacks.append(KeepLast(run.checkpoints, epochs=average_last))
    validation = task.evaluation_data(
        held_out.as_input(), batch_size=validation_batch_size
    )
    run.fit(
        task,
        lambda start: padded_pairs(
            *encoded,
            **plan,
            source_pad_id=task.tokenizer.required_id("end"),
            target_pad_id=task.target_tokenizer.required_id("end"),
            start_id=task.start_token_id,
            seed=seed,
            start_step=start,
            epochs=None,
        ),
        steps_per_epoch=steps_per_evaluation,
        total_steps=steps,
        validation_data=validation,
        callbacks=callbacks,
    )
    metrics = {}
    if keep == "best":
        metrics["best_epoch"], _ = callbacks[-1].restore(task)
    elif average_last > 1:
        averaged = callbacks[-1].average(task)
        metrics["averaged_epochs"] = len(averaged)
    metrics |= task.evaluate(validation, verbose=0, return_dict=True)
    metrics["validation_pairs"] = len(held_out)
    if measures:
        texts = task.generate(held_out.sources, **decoding, **generation)
        metrics |= generation_scores(
            texts, held_out.targets, measures, tokenize=tokenize
        )

    def save(path):
        figures = {n: v for n, v in metrics.items() if not isinstance(v, str)}
        save_result(
            task,
            path,
            adapter_base=adapter_base,
            training_data=source_names(sources),
            metrics=figures,
        )

    run.finish(save, metrics)
    print_scores(metrics)
    return metrics


def print_scores(metrics):
    """Prints a table of figures, and of the signatures that make them comparable."""
    for name, value in metrics.items():
        figure = f"{value:.4f}" if isinstance(value, float) else value
        print(f"{name:>20} {figure}")
