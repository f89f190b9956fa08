"""Helpers shared by several folders: modules from files, and random weights."""

import importlib.util
import pathlib
import re
import shlex

import numpy as np

from tfzoo.__main__ import separated

ROOT = pathlib.Path(__file__).resolve().parent.parent
SMALL = dict(  # a backbone
    vocabulary_size=50,
    num_layers=2,
    num_heads=2,
    hidden_dim=16,
    intermediate_dim=32,
    max_sequence_length=12,
)


def unoptimized():
    """A `ConfigProto` without TensorFlow's optimizers, which take longer than tests."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto()
    config.graph_options.optimizer_options.opt_level = (
        tf.compat.v1.OptimizerOptions.L0  # else constants are folded, copies merged
    )
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


def module(path):
    """The module of a file, loaded again at each call."""
    path = pathlib.Path(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def recipe(name):
    """The module of a command, which `recipes/NAME.py` runs."""
    return module(ROOT / "tfzoo" / "commands" / f"{name}.py")


def commands_of(document):
    """Commands in the shell blocks of a document, a list of lists for each block.

    A command is its name, as that of a file, and its arguments: `python
    recipes/NAME.py ...`, or `tfzoo NAME ... --then NAME ...`.
    """
    blocks = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", document, re.M | re.S):
        if language:
            continue
        found = []
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["python"] and words[1].startswith("recipes/"):
                found.append([pathlib.Path(words[1]).stem, *words[2:]])
            elif words[:1] == ["tfzoo"]:
                found += separated(words[1:])
        if found:
            blocks.append([[n.replace("-", "_"), *rest] for n, *rest in found])
    return blocks


def small_quickstart():
    """The quickstart with a narrow network, a few steps and little text."""
    quickstart = recipe("quickstart")
    training = dict(batch_size=8, learning_rate=1e-3, dropout=0.1)
    for name, value in dict(
        SIZES=dict(num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16),
        VOCABULARY_SIZE=400,
        MAX_SEQUENCE_LENGTH=32,
        PRETRAINING=dict(training, steps=5),
        RESTORING=dict(training, epochs=2, most_steps=5),
        CLASSIFYING=dict(training, epochs=2, most_steps=5),
        MOST_CHARACTERS=dict(corpus=20_000, held_out=5000),
    ).items():
        assert hasattr(quickstart, name)
        setattr(quickstart, name, value)
    return quickstart


def eagerly(model):
    """The model, which `predict` does not trace: quicker for a few batches."""
    model.run_eagerly = True
    return model


def random_weights(model, scale=0.3, seed=0):
    """The model with random weights large enough for every part to have an effect.

    With the initial ones, of N(0, 0.02), the effect of a mask, a segment or a position
    is smaller than the tolerance of a comparison.
    """
    rng = np.random.default_rng(seed)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) * scale + ("gamma" in v.path))
    return model


def log_softmax(x):
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def beams_by_numpy(next_logits, prompt, *, num_beams, num_new, ends, length_penalty):
    """Beam search that continues to the last token, as in `early_stopping="never"`."""
    running, finished = [([], 0.0)], []
    for length in range(1, num_new + 1):
        scores = []
        for ids, score in running:
            logits = log_softmax(next_logits([*prompt, *ids]).astype(np.float64))
            scores += [([*ids, t], score + s) for t, s in enumerate(logits)]
        scores = sorted(scores, key=lambda pair: -pair[1])
        scores = scores[: max(2, 1 + len(ends)) * num_beams]
        for ids, score in scores[:num_beams]:
            if ids[-1] in ends or length == num_new:
                finished.append((ids, score / length**length_penalty))
        running = [pair for pair in scores if pair[0][-1] not in ends][:num_beams]
    return sorted(finished, key=lambda pair: -pair[1])[:num_beams]


def contrastive_by_numpy(
    hidden_states, next_logits, prompt, *, num_new, num_candidates, alpha
):
    """Contrastive search, recomputing everything for every token."""
    ids = list(prompt)
    for _ in range(num_new):
        logits = next_logits(ids)
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        values = {}
        best = np.argsort(-p)[:num_candidates]
        hidden = hidden_states([[*ids, token] for token in best])
        for token, h in zip(best, hidden, strict=True):
            h = h / np.linalg.norm(h, axis=1, keepdims=True)
            values[token] = (1 - alpha) * p[token] - alpha * (h[:-1] @ h[-1]).max()
        ids.append(int(max(values, key=values.get)))
    return ids[len(prompt) :]
