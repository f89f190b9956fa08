"""A small classifier, masked and causal language model, each exported once."""

import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from cheap_tokenizers import WholeWords
from helpers import random_weights, unoptimized
from tfzoo.families import BertEncoder, GPTDecoder
from tfzoo.layers import MaskedLMHead
from tfzoo.serving import export_version
from tfzoo.serving.signatures import padded_core
from tfzoo.tasks import CausalLM
from tfzoo.tasks.classification.served_classes import classifier_signatures
from tfzoo.tasks.masked_words.served_gaps import masked_lm_signatures
from tfzoo.text import ByteBPETokenizer, WordPieceTokenizer

WORDS = "the a dog cat runs sleeps ##s fast . ! unused".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
MAX_LENGTH, MAX_NEW_TOKENS = 72, 40
LABELS = ("ham", "spam", "naïve")


@pytest.fixture(scope="session")
def tokenizer():
    return WordPieceTokenizer(VOCABULARY)


@pytest.fixture(scope="session")
def whole_words():
    """A tokenizer for texts of known words."""
    return WholeWords(VOCABULARY)


@pytest.fixture(scope="session")
def encoder():
    keras.utils.set_random_seed(7)
    encoder = BertEncoder(
        len(VOCABULARY), 1, 2, 16, 32, dropout=0.1, max_sequence_length=MAX_LENGTH
    )
    return random_weights(encoder, 0.5, seed=7)


@pytest.fixture(scope="session")
def classifier(encoder, tokenizer):
    """Keras model: a dictionary of ids (B, S) -> logits (B, 3)."""
    head = keras.layers.Dense(
        len(LABELS), kernel_initializer=keras.initializers.RandomNormal(seed=0)
    )
    model = keras.Model(encoder.inputs, head(encoder.output["pooled_output"]))
    # Center and scale, so that the most likely label depends on the text.
    texts = ["dog", "a cat sleeps fast", "", "the dog runs . " * 4, "! the"]
    rows = [tokenizer.encode(text).token_ids for text in texts]
    ids = {x.name: np.zeros((len(rows), 24), np.int32) for x in encoder.inputs}
    for i, row in enumerate(rows):
        ids["token_ids"][i, : len(row)] = row
        ids["padding_mask"][i, : len(row)] = 1
    logits = np.array(model(ids, training=False))
    scale = 0.4 / logits.std(0)
    head.set_weights([head.get_weights()[0] * scale, -logits.mean(0) * scale])
    return model


@pytest.fixture(scope="session")
def masked_lm(encoder):
    """Keras model: a dictionary of ids and positions (B, M) -> logits (B, M, V)."""
    positions = keras.Input((None,), dtype="int32", name="mask_positions")
    head = MaskedLMHead(encoder.get_layer("token_embedding"))
    logits = head(encoder.output["sequence_output"], positions)
    inputs = {x.name: x for x in [*encoder.inputs, positions]}
    return keras.Model(inputs, logits)


@pytest.fixture(scope="session")
def core_of(tokenizer):
    """Function that makes the `PaddedCore` of a Keras model."""

    def core(model, **options):
        return padded_core(
            lambda inputs: model(inputs, training=False),
            tokenizer,
            **{"max_sequence_length": MAX_LENGTH, **options},
        )

    return core


@pytest.fixture(scope="session")
def serve(classifier, core_of, tokenizer):
    """Builds the signatures of the small classifier."""

    def signatures(tokenizer=tokenizer, **options):
        core = core_of(classifier)
        return classifier_signatures(core, tokenizer, **{"labels": LABELS, **options})

    return signatures


@pytest.fixture(scope="session")
def served(serve):
    return serve()


@pytest.fixture(scope="session")
def exported(served, tmp_path_factory):
    """Folder of version 1 of the small classifier."""
    return export_version(tmp_path_factory.mktemp("saved_models") / "mail", served)


@pytest.fixture(scope="session")
def moved(exported, tmp_path_factory):
    """The signatures of a copy, loaded from where it was moved to."""
    original = tmp_path_factory.mktemp("copy") / "mail" / "1"
    shutil.copytree(exported, original)
    moved = tmp_path_factory.mktemp("elsewhere") / "7"
    original.rename(moved)
    return tf.saved_model.load(moved).signatures


@pytest.fixture(scope="session")
def served_masked_lm(masked_lm, core_of, tokenizer):
    core = core_of(masked_lm, mask_positions=True)
    return masked_lm_signatures(core, tokenizer, top_k=3)


@pytest.fixture(scope="session")
def exported_masked_lm(served_masked_lm, tmp_path_factory):
    """Folder of version 1 of the small masked language model."""
    base = tmp_path_factory.mktemp("saved_models") / "gaps"
    return export_version(base, served_masked_lm)


@pytest.fixture(scope="session")
def causal_lm():
    """A `CausalLM` whose context is no multiple of 32; its weights vary the texts."""
    lines = ["the dog runs fast.", "a cat sleeps, a dog runs."] * 5
    tokenizer = ByteBPETokenizer.train(lines, vocabulary_size=280, progress=False)
    decoder = GPTDecoder(
        tokenizer.vocabulary_size, 1, 2, 16, 32, max_sequence_length=MAX_LENGTH
    )
    return CausalLM(random_weights(decoder, seed=7), tokenizer)


@pytest.fixture(scope="session")
def exported_causal_lm(causal_lm, tmp_path_factory):
    """Folder of version 1 of the small causal language model."""
    base = tmp_path_factory.mktemp("saved_models") / "gpt"
    return causal_lm.export_version(base, max_new_tokens=MAX_NEW_TOKENS)


@pytest.fixture(scope="session")
def served_causal_lm(exported_causal_lm):
    """Its signatures, loaded."""
    return tf.saved_model.load(exported_causal_lm).signatures


@pytest.fixture(scope="session")
def c_library(here):
    """Function that runs requests on SavedModels in TensorFlow's C library."""
    command = [sys.executable, here / "c_api.py", tf.sysconfig.get_lib()]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen(command, **pipes) as process:

        def ask(path, requests, *, optimized=True):
            config = b"" if optimized else unoptimized().SerializeToString()
            line = json.dumps([str(path), config.hex(), requests])
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.fixture
def python():
    """Runs a script in a fresh Python process and returns what it printed."""

    def run(*arguments, check=True, **options):
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if check and result.returncode:
            pytest.fail(result.stderr)
        return result if not check else result.stdout

    return run


@pytest.fixture(scope="session")
def here():
    return pathlib.Path(__file__).parent
