"""Every search in a graph, and with a memory in addition to the prompt."""

import time

import numpy as np
import pytest
import tensorflow as tf

from helpers import random_weights
from tfzoo.generation import decode
from tfzoo.generation.beam_search import BeamSearch
from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.contrastive import ContrastiveSearch
from tfzoo.generation.decoding import Sampling
from tfzoo.layers import TokenEmbedding, TransformerLayer

V, D, S, NEW = 31, 16, 5, 20

# Search, the options that select it, its rules in a graph
SEARCHES = {
    "beams": (BeamSearch(3), {"num_beams": 3}, {"length_penalty": 1.0}),
    "contrastive": (
        ContrastiveSearch(4),
        {"penalty_alpha": 0.6},
        {"penalty_alpha": 0.6},
    ),
}
each_search = pytest.mark.parametrize("name", SEARCHES)


def in_graph(search, decoder, rules, *, ends=(-1,), memory=(), jit_compile=False):
    """A function of prompts and their memory that returns the most likely texts.

    Its graph has no static sizes.
    """
    rows = (tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32))
    memory_specs = tf.nest.map_structure(
        lambda x: tf.TensorSpec([None, *x.shape[1:]], x.dtype), memory
    )

    @tf.function(input_signature=[*rows, memory_specs], autograph=False)
    def function(ids, lengths, memory):
        return decode(
            search,
            decoder,
            ids,
            lengths,
            tf.fill(tf.shape(lengths), NEW),
            {
                "end_ids": tf.constant(list(ends)),
                **{name: tf.constant(value) for name, value in rules.items()},
            },
            max_new_tokens=NEW,
            memory=memory,
            jit_compile=jit_compile,
        )[:2]

    def texts(prompts, memory=()):
        width = max(map(len, prompts))
        ids = [prompt + [0] * (width - len(prompt)) for prompt in prompts]
        tokens, counts = function(ids, [len(prompt) for prompt in prompts], memory)
        step = search.rows_per_prompt
        pairs = zip(tokens.numpy()[::step], counts.numpy()[::step], strict=True)
        return [row[:count].tolist() for row, count in pairs]

    return texts


@each_search
@pytest.mark.parametrize(
    "mode",
    [
        "graph",
        pytest.param("optimized graph", marks=pytest.mark.slow),  # like all slow tests
        pytest.param("xla", marks=pytest.mark.slow),
    ],
)
def test_a_graph_gives_the_same_texts_as_python(
    decoder, compiled, generate, prompts, name, mode
):
    search, options, rules = SEARCHES[name]
    expected = generate(
        compiled, prompts, end_ids=[7, 9], max_new_tokens=NEW, **options
    )
    expected = [group[0][0] for group in expected]
    texts = in_graph(search, decoder, rules, ends=[7, 9], jit_compile=mode == "xla")
    assert texts(prompts) == expected
    assert texts(prompts[:1]) == expected[:1]  # with its own kernels


class Reader:
    """A decoder that attends to a context in addition to its own tokens."""

    vocabulary_size, max_sequence_length, many_rows = V, 128, 4

    def __init__(self):
        self.embedding = TokenEmbedding(V, D)
        self.layers = [
            TransformerLayer(2, 32, norm_first=True, causal=True, cross_attention=True)
            for _ in range(2)
        ]
        self.embedding.build((None, None))
        for seed, layer in enumerate([self.embedding, *self.layers]):
            if seed:
                layer.build((None, None, D), (None, None, D))
            random_weights(layer, seed=seed)

    def memory(self, context, mask):
        return [(layer.memory(context), mask) for layer in self.layers]

    def state(self, rows, columns=0):
        return [layer.state(rows, columns) for layer in self.layers]

    def step(self, token_ids, positions, state, mask, memory):
        x, new = self.embedding(token_ids), []
        for layer, past, (keys, seen) in zip(self.layers, state, memory, strict=True):
            x, added = layer.step(x, past, mask, memory=keys, memory_mask=seen)
            new.append(added)
        return x, new

    def logits(self, hidden):
        return self.embedding.logits(hidden)

    def kernels_for(self, rows):
        return {}

    def laid_out(self, kernels):
        return self

    def greedy(self, prompt, context, num_new):
        """One context on its own, without a cache and without a memory."""
        ids = list(prompt)
        for _ in range(num_new):
            x = self.embedding(np.array([ids]))
            for layer in self.layers:
                x = layer(x, context=context)
            ids.append(int(np.argmax(self.logits(x)[0, -1])))
        return ids[len(prompt) :]


@pytest.fixture(scope="module")
def reader():
    return Reader()


@pytest.fixture(scope="module")
def contexts():
    """Three contexts (S, D), of which S, S - 1 and S - 3 positions are unmasked."""
    rng = np.random.default_rng(0)
    mask = np.arange(S) < np.array([[S], [S - 1], [S - 3]])
    return rng.normal(0, 5, (3, S, D)).astype("float32"), mask


def test_each_prompt_reads_its_own_memory(reader, contexts, generate):
    context, mask = contexts
    prompts, few = [[1, 2, 3], [1, 2, 3], [4]], 8
    memory = reader.memory(tf.constant(context), tf.constant(mask))
    expected = [
        reader.greedy(prompt, context[i : i + 1, : mask[i].sum()], few)
        for i, prompt in enumerate(prompts)
    ]
    assert expected[0] != expected[1]  # for the same prompt
    compiled = CompiledGeneration(reader, jit_compile=False)
    found = generate(compiled, prompts, max_new_tokens=few, memory=memory)
    assert [group[0][0] for group in found] == expected


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("greedy", marks=pytest.mark.slow),
        "beams",
        pytest.param("contrastive", marks=pytest.mark.slow),
    ],
)
def test_every_search_reads_the_memory(reader, contexts, generate, name):
    search, options, rules = SEARCHES.get(name, (Sampling(), {}, {}))
    prompts, options = [[1, 2, 3], [1, 2, 3], [4]], {**options, "max_new_tokens": NEW}
    memory = reader.memory(*map(tf.constant, contexts))
    compiled = CompiledGeneration(reader, jit_compile=False)
    together = generate(compiled, prompts, memory=memory, **options)
    assert together[0] != together[1]
    second = tf.nest.map_structure(lambda x: x[1:2], memory)
    [alone] = generate(compiled, prompts[1:2], memory=second, **options)
    assert alone[0][0] == together[1][0][0]
    texts = in_graph(search, reader, rules, memory=memory)
    assert texts(prompts, memory) == [group[0][0] for group in together]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"num_beams": 4}, {"num_return_sequences": 4, "temperature": 1.0, "seed": 0}],
)
def test_xla_compiles_a_small_vocabulary_in_seconds(make_decoder, generate, options):
    """With `tf.repeat` of the logits, it took minutes for 28 to 32 tokens."""
    decoder, options = (
        make_decoder(vocabulary_size=30),
        {**options, "max_new_tokens": 4},
    )
    start = time.perf_counter()
    texts = [
        generate(
            CompiledGeneration(decoder, jit_compile=jit_compile), [[1], [2]], **options
        )
        for jit_compile in (True, False)
    ]
    assert time.perf_counter() - start < 60
    found, expected = ([[ids for ids, _ in group] for group in one] for one in texts)
    assert found == expected
