"""Tokens per second from string to string: the exported model against `generate`.

    python benchmarks/serving_generation.py
    python benchmarks/serving_generation.py --batch 8 --prompt 250 --rounds 9

All generate 64 tokens, greedily, with the same random weights: 6 layers of width 384, a
vocabulary of 8192 trained on Python's own documentation, which the prompts are from.
The exported model is called by its signature `generate`, which has all options, in a
process that only imports TensorFlow; no network is involved. A round is one call; the
first one, which compiles, does not count.
"""

import functools
import pathlib
import tempfile

import side_by_side
import tyro

SIZES = dict(
    num_layers=6,
    num_heads=6,
    hidden_dim=384,
    intermediate_dim=1536,
    max_sequence_length=1024,
)
VOCABULARY, TOKENS = 8192, 64


def main(
    contender: str = "",
    batch: tuple[int, ...] = (1, 8),
    prompt: tuple[int, ...] = (16, 250),
    rounds: int = 7,
    only: tuple[str, ...] = (),
    folder: pathlib.Path | None = None,
):
    """Tokens per second from string to string: the exported model against `generate`.

    Args:
        contender: For internal use: the contender that this process runs.
        batch: Numbers of prompts per call.
        prompt: Lengths of the prompts in tokens.
        rounds: Number of measured rounds per contender.
        only: Names of the contenders to compare. Defaults to all.
        folder: Directory of the exported models. By default a temporary one.
    """
    if contender:
        prepare = CONTENDERS[contender].prepare
        return side_by_side.serve(lambda: prepare(folder, batch[0], prompt[0]))
    with tempfile.TemporaryDirectory() as place:
        folder = folder or pathlib.Path(place)
        if not (folder / "preset").exists():
            make_models(folder)
        for rows in batch:
            for length in prompt:
                results = side_by_side.compare(
                    __file__,
                    {name: CONTENDERS[name] for name in only or CONTENDERS},
                    rounds=rounds,
                    arguments=[
                        *("--batch", rows, "--prompt", length, "--folder", folder)
                    ],
                )
                print(f"\nBatch {rows}, prompts of {length} tokens.\n")
                print(side_by_side.table(results, unit="tokens"))


def documentation():
    """Python's documentation as one text."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def make_models(folder):
    """Writes a preset, both exports of it, and the tokenized text for the prompts."""
    from tfzoo.families import GPTDecoder
    from tfzoo.tasks import CausalLM
    from tfzoo.text import ByteBPETokenizer

    tokenizer = ByteBPETokenizer.train(
        documentation().splitlines(), vocabulary_size=VOCABULARY, progress=False
    )
    decoder = GPTDecoder(tokenizer.vocabulary_size, **SIZES)
    table = decoder.token_embedding.embeddings
    values = table.numpy()
    values[tokenizer.end_id] = 0  # never the most likely
    table.assign(values)
    task = CausalLM(decoder, tokenizer)
    task.save_to_preset(folder / "preset")
    for name in ("graph", "xla"):
        task.export(folder / name, max_new_tokens=TOKENS, jit_compile=name == "xla")


def prompts(folder, rows, length):
    """Texts of `length` tokens, or a few fewer, the same for all contenders."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "preset" / "tokenizer.json"))
    ids = tokenizer.encode(documentation()[:200_000]).ids
    return [
        tokenizer.decode(ids[1000 * row : 1000 * row + length - 1]).strip()
        for row in range(rows)
    ]


def rounds_of(generate, rows):
    """`round` of a function that generates once and returns the number of tokens."""

    def measure():
        watch = side_by_side.Stopwatch()
        count = generate()
        if count != rows * TOKENS:
            raise RuntimeError(
                f"{rows * TOKENS} tokens must be generated. Received: {count}"
            )
        return watch.measured(count)

    return measure


def saved_model(name):
    def prepare(folder, rows, length):
        import tensorflow as tf

        signature = tf.saved_model.load(str(folder / name)).signatures["generate"]
        inputs = {
            "prompt": tf.constant(prompts(folder, rows, length)),
            "max_new_tokens": tf.fill([rows], TOKENS),
            "top_k": tf.zeros([rows], tf.int32),
            "seed": tf.zeros([rows], tf.int64),
            "temperature": tf.zeros([rows]),
            "top_p": tf.ones([rows]),
            "repetition_penalty": tf.ones([rows]),
        }

        def generate():
            answer = signature(**inputs)
            texts = answer["text"].numpy()
            return int(answer["token_count"].numpy().sum()) if len(texts) else 0

        return rounds_of(generate, rows)

    return side_by_side.Contender(prepare, ("tensorflow",))


def in_process(jit_compile):
    def prepare(folder, rows, length):
        from tfzoo.tasks import CausalLM

        task = CausalLM.from_preset(folder / "preset")
        generate = functools.partial(
            task.generate,
            prompts(folder, rows, length),
            max_new_tokens=TOKENS,
            return_dict_in_generate=True,
            jit_compile=jit_compile,
        )
        return rounds_of(
            lambda: sum(len(found.token_ids) for found in generate()), rows
        )

    return side_by_side.Contender(prepare, ("tfzoo",))


CONTENDERS = {
    "generate() in Python, graph": in_process(jit_compile=False),
    "SavedModel, graph": saved_model("graph"),
    "generate() in Python, XLA": in_process(jit_compile=True),
    "SavedModel, XLA": saved_model("xla"),
}

if __name__ == "__main__":
    tyro.cli(main)
