"""Training step of a small GPT, against KerasHub and PyTorch.

    python benchmarks/gpt_training_step.py

All train the same sizes on the same batches: 4 layers of width 256, 16 x 128 tokens,
every position a target, a vocabulary of 8192, dropout 0.1, AdamW, float32. Steps are
counted in the steady state, the first of each round left out: of `model.fit`, with data
in memory; PyTorch has a plain loop. `tfzoo` is what `compile()` and `fit()` do when
nothing else is said, with clipping, warm-up, accuracy and perplexity. KerasHub gets no
metrics, which its own defaults have, and is measured as TensorFlow leaves it as well as
with the oneDNN kernels that importing tfzoo turns on.
"""

import os

import side_by_side
import training_rounds
import tyro

VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE = 8192, 4, 4, 256, 1024
BATCH, LENGTH, DROPOUT = 16, 128, 0.1
NUM_BATCHES = 8
LEARNING_RATE = 1e-4


def main(
    contender: str = "",
    rounds: int = 5,
    seconds: float = 6.0,
    only: tuple[str, ...] = (),
):
    """Training step of a small GPT, against KerasHub and PyTorch.

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
    """(inputs, next tokens, weights); random, since speed does not depend on them."""
    import numpy as np

    shape = (NUM_BATCHES, BATCH, LENGTH + 1)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, shape, np.int32)
    token_ids, targets = ids[..., :-1], ids[..., 1:]
    inputs = {"token_ids": token_ids, "padding_mask": np.ones_like(token_ids)}
    return inputs, targets, np.ones(targets.shape, np.float32)


def tfzoo(*, jit_compile):
    def prepare(seconds):
        import tfzoo

        decoder = tfzoo.GPTDecoder(
            VOCABULARY,
            LAYERS,
            HEADS,
            HIDDEN,
            INTERMEDIATE,
            dropout=DROPOUT,
            max_sequence_length=LENGTH,
        )
        tokenizer = tfzoo.ByteBPETokenizer.train(
            ["a"], vocabulary_size=257, progress=False
        )
        model = tfzoo.CausalLM(decoder, tokenizer)
        model.compile(
            learning_rate=LEARNING_RATE, total_steps=100_000, jit_compile=jit_compile
        )
        return training_rounds.of_fit(model, batches(), seconds)

    return side_by_side.Contender(prepare)


def keras_hub(*, one_dnn=False, **arguments):
    def prepare(seconds):
        if one_dnn:
            os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        import keras
        import keras_hub

        backbone = keras_hub.models.GPT2Backbone(
            VOCABULARY,
            LAYERS,
            HEADS,
            HIDDEN,
            INTERMEDIATE,
            dropout=DROPOUT,
            max_sequence_length=LENGTH,
        )
        model = keras_hub.models.GPT2CausalLM(backbone)
        if arguments:
            optimizer = keras.optimizers.AdamW(LEARNING_RATE)
            model.compile(optimizer=optimizer, weighted_metrics=None, **arguments)
        else:
            model.compile()
        return training_rounds.of_fit(model, batches(), seconds)

    return side_by_side.Contender(prepare, ("keras_hub",))


def pytorch(seconds):
    import numpy as np
    import torch
    import transformers

    torch.set_num_threads(side_by_side.THREADS)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=LENGTH,
            n_embd=HIDDEN,
            n_layer=LAYERS,
            n_head=HEADS,
            n_inner=INTERMEDIATE,
            resid_pdrop=DROPOUT,
            embd_pdrop=DROPOUT,
            attn_pdrop=DROPOUT,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    inputs, targets, _ = batches()
    token_ids, targets = (
        torch.from_numpy(array.astype(np.int64))
        for array in (inputs["token_ids"], targets)
    )

    def step(i):
        logits = model(input_ids=token_ids[i % NUM_BATCHES]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets[i % NUM_BATCHES].flatten()
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
