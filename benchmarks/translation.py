"""Translations per second, against PyTorch `transformers` and CTranslate2.

    python benchmarks/translation.py --model runs/en_de --sources test.en
    python benchmarks/translation.py --model runs/en_de --sources test.en --beams 1

All have the same weights, those of a model of `train-translator` with one vocabulary
and without `--norm-first`: such a Transformer is a Marian without an output bias, which
`transformers` reads. A round translates the first lines of the file, sorted by length,
in batches of 32, to at most 64 tokens. tfzoo and CTranslate2 get all of them in one
call. tfzoo's time is from strings to strings; the peers get and give tokens.
"SavedModel" is the exported model, in a process of its own, as `tfzoo translate` runs
it.

CTranslate2: `pip install ctranslate2`.
"""

import pathlib
import tempfile

import side_by_side
import tyro

BATCH, MOST = 32, 64
LINES = 256


def main(
    model: pathlib.Path,
    sources: pathlib.Path,
    contender: str = "",
    beams: int = 4,
    rounds: int = 5,
    only: tuple[str, ...] = (),
):
    """Translations per second, against PyTorch `transformers` and CTranslate2.

    Args:
        model: Directory of the model.
        sources: File of texts, one per line.
        contender: For internal use: the contender that this process runs.
        beams: Number of beams; 1 for greedy decoding.
        rounds: Number of measured rounds per contender.
        only: Names of the contenders to compare. Defaults to all.
    """
    if contender:
        lines = sources.read_text(encoding="utf-8").splitlines()[:LINES]
        texts = sorted(lines, key=len)
        prepare = CONTENDERS[contender].prepare
        return side_by_side.serve(lambda: prepare(model, texts, beams))
    results = side_by_side.compare(
        __file__,
        {name: CONTENDERS[name] for name in only or CONTENDERS},
        rounds=rounds,
        arguments=["--model", model, "--sources", sources, "--beams", beams],
    )
    table = side_by_side.table(
        results, unit="sentences", baseline="PyTorch transformers"
    )
    print(table)


def in_batches(texts):
    return [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]


def round_of(translate, batches):
    """`round` of a function that translates a batch and returns its token counts."""

    def measure():
        watch, tokens, count = side_by_side.Stopwatch(), 0, 0
        for batch in batches:
            counts = translate(batch)
            tokens, count = tokens + sum(counts), count + len(counts)
        return watch.measured(count, tokens=tokens)

    return measure


def tfzoo(*, jit_compile):
    def prepare(model, texts, beams):
        from tfzoo import Seq2SeqLM

        task = Seq2SeqLM.from_preset(model)

        def translate(batch):
            found = task.generate(
                batch,
                num_beams=beams,
                max_new_tokens=MOST,
                jit_compile=jit_compile,
                return_dict_in_generate=True,
                batch_size=BATCH,
            )
            return [len(one.token_ids) for one in found]

        return round_of(translate, [texts])

    return side_by_side.Contender(prepare)


def saved_model(model, texts, beams):
    from tfzoo import Seq2SeqLM
    from tfzoo.tasks.seq2seq.translators import open_translator

    task = Seq2SeqLM.from_preset(model)
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "served"
        task.export(path, num_beams=beams, max_new_tokens=MOST)
        translate = open_translator(path, batch_size=BATCH)

    def counted(batch):
        return [len(ids) for ids in task.tokenizer.tokenize(translate(batch))]

    return round_of(counted, [texts])


def as_marian(model, directory):
    """Writes the model in Marian's format; returns its task."""
    from tfzoo import MarianEncoderDecoder, SentencePieceTokenizer, Seq2SeqLM

    ours = Seq2SeqLM.from_preset(model)
    config, words = ours.backbone.get_config(), ours.tokenizer
    names = ("vocabulary_size", "num_layers", "num_heads", "hidden_dim")
    names += ("intermediate_dim", "max_sequence_length", "activation")
    marian = MarianEncoderDecoder(
        **{name: config[name] for name in names},
        num_decoder_layers=config["num_decoder_layers"],
    )
    weights = {v.path: v for v in ours.backbone.weights}
    for variable in marian.weights:
        if variable.path in weights:
            variable.assign(weights[variable.path])
    tokenizer = SentencePieceTokenizer(
        words.model,
        vocabulary=words.vocabulary,
        unknown_token=words.unknown_token,
        pad_token=words.pad_token,
        end_token=words.end_token,
        recognizes_unknown=True,
        language_codes=True,
        layout=words.layout,
    )
    task = Seq2SeqLM(marian, tokenizer, start_token_id=ours.start_token_id)
    task.save_to_preset(directory)
    return task


def tokens_of(task, texts):
    """Lists of ids with the end token, in batches."""
    rows = [[*ids, task.tokenizer.end_id] for ids in task.tokenizer.tokenize(texts)]
    return in_batches(rows)


def pytorch(model, texts, beams):
    import torch
    import transformers

    torch.set_num_threads(side_by_side.THREADS)
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "marian"
        task = as_marian(model, path)
        network = transformers.MarianMTModel.from_pretrained(path).eval()

    def translate(rows):
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with torch.no_grad():
            found = network.generate(
                ids,
                attention_mask=mask,
                num_beams=beams,
                do_sample=False,
                max_new_tokens=MOST,
            )
        return (found != network.config.pad_token_id).sum(dim=1).tolist()

    return round_of(translate, tokens_of(task, texts))


def ctranslate2(compute_type):
    def prepare(model, texts, beams):
        import ctranslate2

        from tfzoo import Seq2SeqLM

        task = Seq2SeqLM.from_preset(model)
        with tempfile.TemporaryDirectory() as directory:
            specification(task).save(directory)
            translator = ctranslate2.Translator(
                directory,
                compute_type=compute_type,
                inter_threads=1,
                intra_threads=side_by_side.THREADS,
            )
        name = task.tokenizer.id_to_token
        every = [
            [name(i) for i in row] for rows in tokens_of(task, texts) for row in rows
        ]

        def translate(rows):
            found = translator.translate_batch(
                rows, beam_size=beams, max_decoding_length=MOST, max_batch_size=BATCH
            )
            return [len(one.hypotheses[0]) + 1 for one in found]

        return round_of(translate, [every])

    return side_by_side.Contender(prepare, ("ctranslate2",))


def specification(task):
    """The model in CTranslate2's own terms."""
    import ctranslate2
    import numpy as np

    backbone = task.backbone
    weights = {v.path: np.asarray(v) for v in backbone.weights}
    spec = ctranslate2.specs.TransformerSpec.from_config(
        (len(backbone.encoder_layers), len(backbone.decoder_layers)),
        backbone.num_heads,
        pre_norm=False,
        activation=ctranslate2.specs.Activation.RELU,
    )
    half = backbone.hidden_dim // 2
    angles = np.arange(backbone.max_sequence_length)[:, None] * np.exp(
        np.arange(half) * (-np.log(10000.0) / half)
    )
    positions = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    def set_norm(layer, path):
        layer.gamma, layer.beta = (weights[f"{path}/{n}"] for n in ("gamma", "beta"))

    def set_linear(layer, *paths):
        kernels = [weights[f"{path}/kernel"].T for path in paths]
        layer.weight = np.concatenate(kernels)
        layer.bias = np.concatenate([weights[f"{path}/bias"] for path in paths])

    for name, side in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        tables = side.embeddings
        table = tables[0] if isinstance(tables, list) else tables
        table.weight = weights["token_embedding/embeddings"]
        side.scale_embeddings = True
        side.position_encodings.encodings = positions.astype(np.float32)
        for i, layer in enumerate(side.layer):
            path = f"{name}_layer_{i}"
            inner = f"{path}/self_attention"
            attention = layer.self_attention
            parts = ("query", "key", "value")
            set_linear(attention.linear[0], *(f"{inner}/{part}" for part in parts))
            set_linear(attention.linear[1], f"{inner}/output")
            set_norm(attention.layer_norm, f"{inner}_norm")
            if name == "decoder":
                outer = f"{path}/cross_attention"
                set_linear(layer.attention.linear[0], f"{outer}/query")
                keys = (f"{outer}/key", f"{outer}/value")
                set_linear(layer.attention.linear[1], *keys)
                set_linear(layer.attention.linear[2], f"{outer}/output")
                set_norm(layer.attention.layer_norm, f"{outer}_norm")
            set_linear(layer.ffn.linear_0, f"{path}/feed_forward/intermediate")
            set_linear(layer.ffn.linear_1, f"{path}/feed_forward/output")
            set_norm(layer.ffn.layer_norm, f"{path}/feed_forward_norm")
    spec.decoder.projection.weight = weights["token_embedding/embeddings"]
    spec.decoder.projection.bias = np.zeros(backbone.vocabulary_size, np.float32)
    words = task.tokenizer
    for register in (spec.register_source_vocabulary, spec.register_target_vocabulary):
        register(list(words.vocabulary))
    spec.config.unk_token = words.unknown_token
    spec.config.eos_token = words.end_token
    spec.config.decoder_start_token = words.id_to_token(task.start_token_id)
    spec.validate()
    spec.optimize()
    return spec


CONTENDERS = {
    "tfzoo, XLA": tfzoo(jit_compile=True),
    "tfzoo, graph": tfzoo(jit_compile=False),
    "tfzoo, SavedModel": side_by_side.Contender(saved_model),
    "PyTorch transformers": side_by_side.Contender(pytorch, ("torch", "transformers")),
    "CTranslate2, float32": ctranslate2("float32"),
    "CTranslate2, int8": ctranslate2("int8"),
}

if __name__ == "__main__":
    tyro.cli(main)
