"""Published encoder-decoders, with what other software computed of them.

The transliteration model of CTranslate2's tests, and Flan-T5-small in the directory
`$TFZOO_FLAN_T5`.
"""

import json
import os
import pathlib

import numpy as np
import pytest
import safetensors.numpy

from tfzoo.families import TransformerEncoderDecoder
from tfzoo.generation.compiled import CompiledGeneration
from tfzoo.generation.options import GenerationOptions
from tfzoo.tasks import Seq2SeqLM

WIDTH, LAYERS, LONGEST = 32, 6, 40
BLANK, START, END = 0, 1, 2


@pytest.fixture(scope="module")
def transliteration(shared_data):
    place = shared_data.parent / "models" / "aren-transliteration-ctranslate2"
    if not place.is_dir():
        pytest.skip(f"no {place}")
    return place


def sinusoids():
    """The positions of OpenNMT: from 1, and the last wavelength is exactly 10000."""
    half = WIDTH // 2
    rates = np.exp(-np.arange(half) * np.log(10000) / (half - 1))
    angles = np.arange(1, LONGEST + 1)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], 1)


def by_our_paths(theirs):
    """Dict of variable path -> array, from the tensors of CTranslate2."""
    found = {
        "source_embedding/embeddings": theirs["encoder/embeddings/weight"],
        "token_embedding/embeddings": theirs["decoder/embeddings/weight"],
        "output_embedding/embeddings": theirs["decoder/projection/weight"],
        "next_token_head/bias": theirs["decoder/projection/bias"],
    }

    def norm(ours, name):
        for part in ("gamma", "beta"):
            found[f"{ours}/{part}"] = theirs[f"{name}/layer_norm/{part}"]

    def linear(paths, name):
        kernels = np.split(theirs[f"{name}/weight"].T, len(paths), axis=1)
        biases = np.split(theirs[f"{name}/bias"], len(paths))
        for path, kernel, bias in zip(paths, kernels, biases, strict=True):
            found[f"{path}/kernel"], found[f"{path}/bias"] = kernel, bias

    for side in ("encoder", "decoder"):
        found[f"{side}_position_embedding/embeddings"] = sinusoids()
        norm(f"{side}_final_norm", side)
        for i in range(LAYERS):
            ours, name = f"{side}_layer_{i}", f"{side}/layer_{i}"
            attention = f"{ours}/self_attention"
            parts = [f"{attention}/{part}" for part in ("query", "key", "value")]
            linear(parts, f"{name}/self_attention/linear_0")
            linear([f"{attention}/output"], f"{name}/self_attention/linear_1")
            norm(f"{attention}_norm", f"{name}/self_attention")
            if side == "decoder":
                attention = f"{ours}/cross_attention"
                linear([f"{attention}/query"], f"{name}/attention/linear_0")
                parts = [f"{attention}/{part}" for part in ("key", "value")]
                linear(parts, f"{name}/attention/linear_1")
                linear([f"{attention}/output"], f"{name}/attention/linear_2")
                norm(f"{attention}_norm", f"{name}/attention")
            network = f"{ours}/feed_forward"
            linear([f"{network}/intermediate"], f"{name}/ffn/linear_0")
            linear([f"{network}/output"], f"{name}/ffn/linear_1")
            norm(f"{network}_norm", f"{name}/ffn")
    return found


@pytest.fixture(scope="module")
def transliterator(transliteration):
    theirs = safetensors.numpy.load_file(transliteration / "model.safetensors")
    model = TransformerEncoderDecoder(
        vocabulary_size=len(theirs["decoder/embeddings/weight"]),
        source_vocabulary_size=len(theirs["encoder/embeddings/weight"]),
        num_layers=LAYERS,
        num_heads=8,
        hidden_dim=WIDTH,
        intermediate_dim=128,
        max_sequence_length=LONGEST,
        positions="learned",
        norm_first=True,
        ties_output=False,
        output_bias=True,
    )
    arrays = by_our_paths(theirs)
    variables = {v.path: v for v in model.trainable_variables}
    assert variables.keys() == arrays.keys()
    for path, variable in variables.items():
        variable.assign(arrays[path])
    return model


@pytest.fixture(scope="module")
def vocabularies(transliteration):
    return [
        (transliteration / f"{side}_vocabulary.txt").read_text("utf-8").split("\n")
        for side in ("source", "target")
    ]


@pytest.fixture(scope="module")
def words(transliteration):
    return json.loads((transliteration / "expected.json").read_text())


@pytest.fixture(scope="module")
def rows(words, vocabularies):
    """Ids of the words, a token for each letter."""
    return [[vocabularies[0].index(letter) for letter in w] for w in words["words"]]


def test_the_logits_of_the_transliterator_are_the_published_ones(
    transliteration, transliterator, vocabularies, words, rows
):
    targets = [[START, *map(vocabularies[1].index, word)] for word in words["greedy"]]
    fed = {}
    for side, ids in (("encoder", rows), ("decoder", targets)):
        longest = max(map(len, ids))
        padded = [[*row, *[BLANK] * (longest - len(row))] for row in ids]
        fed[f"{side}_token_ids"] = np.array(padded, np.int32)
        fed[f"{side}_padding_mask"] = (fed[f"{side}_token_ids"] != BLANK).astype(int)
    found = transliterator.logits(transliterator(fed)["decoder_sequence_output"])
    with np.load(transliteration / "expected.npz") as expected:
        for i, target in enumerate(targets):
            np.testing.assert_allclose(
                found[i, : len(target)], expected[f"logits_{i}"], atol=1e-4
            )


@pytest.mark.slow
def test_the_words_of_the_transliterator_are_those_of_ctranslate2(
    transliterator, vocabularies, words, rows
):
    generation = CompiledGeneration(transliterator, jit_compile=False)
    run = generation.start(
        [[START]] * len(rows),
        GenerationOptions(
            max_new_tokens=30,
            num_beams=4,
            num_return_sequences=4,
            early_stopping=True,  # as in CTranslate2
        ),
        [END],
        generation.memory(rows, BLANK),
    )
    while run.advance(30):
        pass
    found = run.results()
    letters = dict(enumerate(vocabularies[1])) | {END: ""}
    assert [["".join(map(letters.get, i)) for i, _ in b] for b in found] == (
        words["beam4"]
    )
    scores = [[score for _, score in beams] for beams in found]
    # Both are sums of log-probabilities, the end's included, divided by the length.
    np.testing.assert_allclose(scores, words["beam4_scores"], atol=1e-3)


@pytest.fixture(scope="module")
def flan():
    place = pathlib.Path(os.environ.get("TFZOO_FLAN_T5", ""))
    if not (place / "expected.npz").is_file():
        pytest.skip("TFZOO_FLAN_T5 does not name the directory of the model")
    return place


@pytest.fixture(scope="module")
def flan_model(flan):
    return Seq2SeqLM.from_preset(flan)


@pytest.mark.slow
def test_flan_t5_computes_what_transformers_does(flan, flan_model):
    notes = json.loads((flan / "expected.json").read_text())
    with np.load(flan / "expected.npz") as arrays:
        expected = {**arrays}
    ids, mask = expected["input_ids"], expected["attention_mask"]
    model = flan_model.backbone
    encoded = flan_model.tokenizer.encode_batch(notes["inputs"])
    np.testing.assert_array_equal(encoded.token_ids, ids[mask == 1])
    targets = expected["decoder_input_ids"]
    outputs = model(
        {
            "encoder_token_ids": ids.astype(np.int32),
            "encoder_padding_mask": mask.astype(np.int32),
            "decoder_token_ids": targets.astype(np.int32),
            "decoder_padding_mask": np.ones(targets.shape, np.int32),
        }
    )
    np.testing.assert_allclose(
        np.asarray(outputs["encoder_sequence_output"])[mask == 1],
        expected["encoder_last_hidden_state"][mask == 1],
        atol=1e-4,
    )
    logits = np.asarray(model.logits(outputs["decoder_sequence_output"]))
    first = expected["logits_first64"]
    np.testing.assert_allclose(logits[..., : first.shape[-1]], first, atol=1e-4)
    total = np.log(np.exp(logits.astype(np.float64)).sum(-1))
    np.testing.assert_allclose(total, expected["logits_logsumexp"], atol=1e-4)
    np.testing.assert_array_equal(logits.argmax(-1), expected["logits_argmax"])


@pytest.mark.slow
@pytest.mark.parametrize(("num_beams", "name"), [(1, "greedy"), (4, "beam4")])
def test_flan_t5_writes_what_transformers_does(flan, flan_model, num_beams, name):
    notes = json.loads((flan / "expected.json").read_text())
    found = flan_model.generate(
        notes["inputs"],
        num_beams=num_beams,
        max_new_tokens=24,
        jit_compile=False,
        return_dict_in_generate=True,
    )
    texts = dict(zip(notes["inputs"], (one.text for one in found), strict=True))
    german = texts["translate English to German: The house is wonderful."]
    assert german == "Das Haus ist wunderbar."
    assert [*texts.values()] == notes[f"{name}_texts"]
    assert [one.token_ids for one in found] == [ids[1:] for ids in notes[f"{name}_ids"]]
