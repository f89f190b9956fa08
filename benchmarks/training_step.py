r"""Training step of a small BERT, GPT or translator, against KerasHub and PyTorch.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --model gpt
    python benchmarks/training_step.py --model transformer \
        --baseline "PyTorch transformers"

All train models of the same size on the same batches: 4 layers of width 256, 16 x 128
tokens, a vocabulary of 8192, dropout 0.1, AdamW, float32. BERT predicts 20 masked words
per row and applies the output layer only to these; GPT predicts every token. The
translator has 4 layers on either side, and batches of 96 pairs of 24 tokens, as of
captions; the peer is `MarianMTModel`, and KerasHub has no such task. Steps are
counted in the steady state, without the first ones of each round: with `model.fit` and
data in memory, or a plain loop for PyTorch. `tfzoo` uses the defaults of `compile()`
and `fit()`, including clipping, warmup and metrics. KerasHub gets no metrics, which its
own defaults have.

Importing tfzoo enables TensorFlow's oneDNN kernels. KerasHub leaves TensorFlow's
default, which is off on many processors; it is measured with and without them.
"""

import os
from typing import Literal

import side_by_side
import training_rounds
import tyro

VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE = 8192, 4, 4, 256, 1024
BATCH, LENGTH, MASKED, DROPOUT = 16, 128, 20, 0.1
PAIRS, PAIR_LENGTH = 96, 24
NUM_BATCHES = 8
LEARNING_RATE = 1e-4


def main(
    contender: str = "",
    model: Literal["bert", "gpt", "transformer"] = "bert",
    rounds: int = 5,
    seconds: float = 6.0,
    only: tuple[str, ...] = (),
    baseline: str = "KerasHub, XLA",
):
    """Training step of a small BERT, GPT or translator, against KerasHub and PyTorch.

    Args:
        contender: For internal use: the contender that this process runs.
        model: bert predicts masked words, gpt the next token, transformer that of a
            translation.
        rounds: Number of measured rounds per contender.
        seconds: Length of a round.
        only: Names of the contenders to compare. Defaults to all.
        baseline: Name of the contender with ratio 1.
    """
    if contender:
        prepare = CONTENDERS[contender].prepare
        return side_by_side.serve(lambda: prepare(model, seconds))
    results = side_by_side.compare(
        __file__,
        {name: CONTENDERS[name] for name in only or contenders_for(model)},
        rounds=rounds,
        arguments=["--model", model, "--seconds", seconds],
    )
    print(side_by_side.table(results, unit="steps", baseline=baseline))


def contenders_for(model):
    """Names of the contenders that have the model."""
    if model == "transformer":
        return [name for name in CONTENDERS if not name.startswith("KerasHub")]
    return [*CONTENDERS]


def batches(model):
    """(inputs, targets, weights), arrays of `NUM_BATCHES` batches.

    They are random, since speed does not depend on them.
    """
    import numpy as np

    random = np.random.default_rng(0)
    if model == "transformer":
        shape = (NUM_BATCHES, PAIRS, PAIR_LENGTH)
        ids = [random.integers(5, VOCABULARY, shape, np.int32) for _ in range(3)]
        ones = np.ones(shape, np.int32)
        inputs = {
            "encoder_token_ids": ids[0],
            "encoder_padding_mask": ones,
            "decoder_token_ids": ids[1],
            "decoder_padding_mask": ones,
        }
        return inputs, ids[2], np.ones(shape, np.float32)
    shape = (NUM_BATCHES, BATCH, LENGTH)
    inputs = {
        "token_ids": random.integers(5, VOCABULARY, shape, np.int32),
        "padding_mask": np.ones(shape, np.int32),
    }
    targets = random.integers(5, VOCABULARY, shape, np.int32)
    if model == "bert":
        positions = random.random(shape).argsort(-1)[..., :MASKED]
        inputs["mask_positions"] = np.sort(positions).astype(np.int32)
        second = np.arange(LENGTH) >= LENGTH // 2
        inputs["segment_ids"] = np.broadcast_to(second, shape).astype(np.int32)
        targets = targets[..., :MASKED]
    return inputs, targets, np.ones(targets.shape, np.float32)


def tfzoo(*, jit_compile):
    def prepare(model, seconds):
        tasks = {"bert": masked_lm, "gpt": causal_lm, "transformer": translator}
        task = tasks[model]()
        task.compile(
            learning_rate=LEARNING_RATE, total_steps=100_000, jit_compile=jit_compile
        )
        return training_rounds.of_fit(task, batches(model), seconds)

    return side_by_side.Contender(prepare)


def masked_lm():
    import tfzoo

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [f"word{i}" for i in range(VOCABULARY - len(tokens))]
    encoder = tfzoo.BertEncoder(
        VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, dropout=DROPOUT
    )
    return tfzoo.MaskedLM(encoder, tfzoo.WordPieceTokenizer(tokens))


def causal_lm():
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
    words = tfzoo.ByteBPETokenizer.train(["a"], vocabulary_size=257, progress=False)
    return tfzoo.CausalLM(decoder, words)


def translator():
    import tfzoo

    backbone = tfzoo.TransformerEncoderDecoder(
        VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, DROPOUT, LENGTH
    )
    words = tfzoo.ByteBPETokenizer.train(["a"], vocabulary_size=257, progress=False)
    return tfzoo.Seq2SeqLM(backbone, words)


def keras_hub(*, one_dnn=False, **arguments):
    def prepare(model, seconds):
        if one_dnn:
            os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
        import keras
        import keras_hub

        sizes = (VOCABULARY, LAYERS, HEADS, HIDDEN, INTERMEDIATE, DROPOUT)
        if model == "bert":
            backbone = keras_hub.models.BertBackbone(*sizes)
            task = keras_hub.models.BertMaskedLM(backbone)
        else:
            backbone = keras_hub.models.GPT2Backbone(*sizes, LENGTH)
            task = keras_hub.models.GPT2CausalLM(backbone)
        if arguments:
            optimizer = keras.optimizers.AdamW(LEARNING_RATE)
            task.compile(optimizer=optimizer, weighted_metrics=None, **arguments)
        else:
            task.compile()
        return training_rounds.of_fit(task, batches(model), seconds)

    return side_by_side.Contender(prepare, ("keras_hub",))


def pytorch(model, seconds):
    import numpy as np
    import torch

    torch.set_num_threads(side_by_side.THREADS)
    networks = {
        "bert": pytorch_bert,
        "gpt": pytorch_gpt,
        "transformer": pytorch_translator,
    }
    network, logits_of = networks[model]()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, fused=True)
    inputs, targets, _ = batches(model)
    data = {
        name: torch.from_numpy(array.astype(np.int64))
        for name, array in {**inputs, "targets": targets}.items()
    }

    def step(i):
        batch = {name: array[i % NUM_BATCHES] for name, array in data.items()}
        loss = torch.nn.functional.cross_entropy(
            logits_of(batch).flatten(0, 1), batch["targets"].flatten()
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return training_rounds.of_steps(step, seconds)


def pytorch_bert():
    """The network, and a function that computes the logits of a batch."""
    import torch
    import transformers

    network = transformers.BertForMaskedLM(
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
    rows = torch.arange(BATCH)[:, None]

    def logits_of(batch):
        x = network.bert(
            input_ids=batch["token_ids"],
            token_type_ids=batch["segment_ids"],
            attention_mask=batch["padding_mask"],
        ).last_hidden_state
        return network.cls(x[rows, batch["mask_positions"]])

    return network, logits_of


def pytorch_gpt():
    """Like `pytorch_bert`."""
    import transformers

    network = transformers.GPT2LMHeadModel(
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
    return network, lambda batch: network(input_ids=batch["token_ids"]).logits


def pytorch_translator():
    """Like `pytorch_bert`."""
    import transformers

    network = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=VOCABULARY,
            d_model=HIDDEN,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=INTERMEDIATE,
            decoder_ffn_dim=INTERMEDIATE,
            max_position_embeddings=LENGTH,
            dropout=DROPOUT,
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    ).train()

    def logits_of(batch):
        return network(
            input_ids=batch["encoder_token_ids"],
            attention_mask=batch["encoder_padding_mask"],
            decoder_input_ids=batch["decoder_token_ids"],
        ).logits

    return network, logits_of


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
