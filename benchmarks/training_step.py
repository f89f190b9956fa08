"""Training step of a small BERT with masked words, against KerasHub and PyTorch.

    python benchmarks/training_step.py

All train the same sizes on the same batches: 4 layers of width 256, 16 x 128 tokens,
20 masked positions each, a vocabulary of 8192, dropout 0.1, AdamW, float32, the output
layer on the masked positions alone. Steps are counted in the steady state, the first
of each round left out: of `model.fit`, with data in memory; PyTorch has a plain loop.
`tfzoo` is what `compile()` and `fit()` do when nothing else is said, with clipping,
warm-up and accuracy. KerasHub gets no metrics, which its own defaults have.

Importing tfzoo turns TensorFlow's oneDNN kernels on. KerasHub leaves them as TensorFlow
has them, which is off on many processors, and is measured so as well as with them.
"""

import os

import side_by_side
import training_rounds
import tyro

VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE = 8192, 4, 4, 256, 1024
BATCH, LENGTH, MASKED, DROPOUT = 16, 128, 20, 0.1
NUM_BATCHES = 8
LEARNING_RATE = 1e-4


def main(
    contender: str = "",
    rounds: int = 5,
    seconds: float = 6.0,
    only: tuple[str, ...] = (),
):
    """Training step of a small BERT with masked words, against KerasHub and PyTorch.

    Args:
        contender: Used by the benchmark itself: be this one, in a process of its own.
        rounds: Measured rounds of each contender.
        seconds: Length of a round.
        only: Names of the contenders to compare; all if none.
    """
    if contender:
        return side_by_side.serve(lambda: CONTENDERS[contender].prepare(seconds))
    results = side_by_side.compare(
        __file__,
        {name: CONTENDERS[name] for name in only or CONTENDERS},
        rounds=rounds,
        arguments=["--seconds", seconds],
    )
    print(side_by_side.table(results, unit="steps", baseline="KerasHub, graph"))


def batches():
    """Arrays of `NUM_BATCHES` batches; random, since speed does not depend on them."""
    import numpy as np

    random = np.random.default_rng(0)
    shape = (NUM_BATCHES, BATCH, LENGTH)
    positions = random.random(shape).argsort(-1)[..., :MASKED]
    return {
        "token_ids": random.integers(5, VOCABULARY, shape, np.int32),
        "segment_ids": np.repeat([[[0] * 64 + [1] * 64]], BATCH, 1).astype(np.int32)
        * np.ones((NUM_BATCHES, 1, 1), np.int32),
        "padding_mask": np.ones(shape, np.int32),
        "mask_positions": np.sort(positions).astype(np.int32),
        "words": random.integers(5, VOCABULARY, (*shape[:2], MASKED), np.int32),
    }


def fit_batches():
    """(inputs, targets, weights) as `model.fit` wants them."""
    import numpy as np

    inputs = batches()
    words = inputs.pop("words")
    return inputs, words, np.ones(words.shape, np.float32)


def tfzoo(*, jit_compile):
    def prepare(seconds):
        import tfzoo

        tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokens += [f"word{i}" for i in range(VOCABULARY - len(tokens))]
        encoder = tfzoo.BertEncoder(
            VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, dropout=DROPOUT
        )
        model = tfzoo.MaskedLM(encoder, tfzoo.WordPieceTokenizer(tokens))
        model.compile(
            learning_rate=LEARNING_RATE, total_steps=100_000, jit_compile=jit_compile
        )
        return training_rounds.of_fit(model, fit_batches(), seconds)

    return side_by_side.Contender(prepare)


def keras_hub(*, one_dnn=False, **arguments):
    def prepare(seconds):
        if one_dnn:
            os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        import keras
        import keras_hub

        backbone = keras_hub.models.BertBackbone(
            VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, dropout=DROPOUT
        )
        model = keras_hub.models.BertMaskedLM(backbone)
        if arguments:
            optimizer = keras.optimizers.AdamW(LEARNING_RATE)
            model.compile(optimizer=optimizer, weighted_metrics=None, **arguments)
        else:
            model.compile()
        return training_rounds.of_fit(model, fit_batches(), seconds)

    return side_by_side.Contender(prepare, ("keras_hub",))


def pytorch(seconds):
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(side_by_side.THREADS)
    model = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=INTERMEDIATE,
            hidden_dropout_prob=DROPOUT,
            attention_probs_dropout_prob=DROPOUT,
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    data = {
        name: torch.from_numpy(array.astype(np.int64))
        for name, array in batches().items()
    }
    rows = torch.arange(BATCH)[:, None]

    def step(i):
        batch = {name: array[i % NUM_BATCHES] for name, array in data.items()}
        x = model.bert(
            input_ids=batch["token_ids"],
            token_type_ids=batch["segment_ids"],
            attention_mask=batch["padding_mask"],
        ).last_hidden_state
        logits = model.cls(x[rows, batch["mask_positions"]])
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["words"].flatten()
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return training_rounds.of_steps(step, seconds)


CONTENDERS = {
    "tfzoo, graph": tfzoo(jit_compile=False),
    "tfzoo, XLA": tfzoo(jit_compile=True),
    "KerasHub, graph": keras_hub(jit_compile=False),
    "KerasHub, XLA": keras_hub(jit_compile=True),
    "KerasHub, graph, with oneDNN": keras_hub(one_dnn=True, jit_compile=False),
    "KerasHub, XLA, with oneDNN": keras_hub(one_dnn=True, jit_compile=True),
    "KerasHub, its defaults": keras_hub(),
    "PyTorch transformers": side_by_side.Contender(pytorch, ("torch", "transformers")),
}

if __name__ == "__main__":
    tyro.cli(main)
