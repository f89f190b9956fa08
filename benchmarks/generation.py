"""Tokens per second of greedy generation, against KerasHub and PyTorch transformers.

    python benchmarks/generation.py
    python benchmarks/generation.py --batch 8 --prompt 256
    python benchmarks/generation.py --curve

All generate 64 tokens with models of the same size: 6 layers of width 384 with 6 heads,
a vocabulary of 8192, float32, random weights, no end token. A round is one call, from
ids to ids, including the prompt. Above each table is the limit set by memory: every
weight is read once per token of a batch, at the bandwidth measured just before.

`--curve` measures the cost of a token as the context fills: the time for 32 more tokens
after n, without the prompt. A run of n tokens is the beginning of a run of n + 32, so a
single run gives all differences, with less noise than the difference of two runs.
"""

import statistics
import time

import side_by_side
import tyro

SIZES = dict(
    vocabulary_size=8192,
    num_layers=6,
    num_heads=6,
    hidden_dim=384,
    intermediate_dim=1536,
    max_sequence_length=1024,
)
TOKENS = 64
BLOCK = 32  # tokens of a prompt and of each difference in the curve


def main(
    contender: str = "",
    batch: tuple[int, ...] = (1, 8, 32),
    prompt: tuple[int, ...] = (16, 256),
    rounds: int = 5,
    only: tuple[str, ...] = (),
    curve: bool = False,
):
    """Tokens per second of generation, against KerasHub and PyTorch transformers.

    Args:
        contender: For internal use: the contender that this process runs.
        batch: Numbers of prompts per call.
        prompt: Lengths of the prompts in tokens.
        rounds: Number of measured rounds per contender.
        only: Names of the contenders to compare. Defaults to all.
        curve: Instead, measure the cost of a token along the context.
    """
    if contender:
        prepare = CONTENDERS[contender].prepare
        return side_by_side.serve(lambda: prepare(batch[0], prompt[0]))
    for rows in batch:
        if curve:
            print_curve(rows, rounds)
            continue
        for length in prompt:
            print(f"\nBatch {rows}, prompt {length}. {memory_limit(rows)}\n")
            results = side_by_side.compare(
                __file__,
                {name: CONTENDERS[name] for name in only or CONTENDERS},
                rounds=rounds,
                arguments=["--batch", rows, "--prompt", length],
            )
            table = side_by_side.table(
                results, unit="tokens", baseline="KerasHub, graph"
            )
            print(table)


def prompts(rows, length):
    """Random ids (rows, length); speed does not depend on them."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.integers(1, SIZES["vocabulary_size"], (rows, length), np.int32)


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


def our_start(rows, length, jit_compile):
    """A function of a number of new tokens that starts generating them."""
    from tfzoo.families import GPTDecoder
    from tfzoo.generation.compiled import CompiledGeneration
    from tfzoo.generation.options import GenerationOptions

    compiled = CompiledGeneration(GPTDecoder(**SIZES), jit_compile=jit_compile)
    ids = prompts(rows, length).tolist()
    return lambda n: compiled.start(ids, GenerationOptions(max_new_tokens=n), [])


def tfzoo(*, jit_compile):
    from tfzoo.training.host_memory import freed_memory_kept

    def prepare(rows, length):
        start = our_start(rows, length, jit_compile)

        def generate():
            with freed_memory_kept(trim=False):  # as the method `generate` does
                generation = start(TOKENS)
                while not generation.done():
                    generation.advance(TOKENS)
            return sum(len(row) for row in generation.tokens())

        return rounds_of(generate, rows)

    return side_by_side.Contender(prepare)


def keras_hub(**arguments):
    def prepare(rows, length):
        import keras_hub
        import numpy as np

        model = keras_hub.models.GPT2CausalLM(
            keras_hub.models.GPT2Backbone(**SIZES), preprocessor=None
        )
        model.compile(sampler="greedy", **arguments)
        ids = np.zeros((rows, length + TOKENS), np.int32)
        ids[:, :length] = prompts(rows, length)
        mask = np.arange(length + TOKENS) < length
        inputs = {"token_ids": ids, "padding_mask": np.tile(mask, (rows, 1))}

        def generate():
            found = model.generate(inputs, stop_token_ids=None)["token_ids"]
            return found[:, length:].size

        return rounds_of(generate, rows)

    return side_by_side.Contender(prepare, ("keras_hub",))


def pytorch():
    def prepare(rows, length):
        import torch
        import transformers

        torch.set_num_threads(side_by_side.THREADS)
        config = transformers.GPT2Config(
            vocab_size=SIZES["vocabulary_size"],
            n_positions=SIZES["max_sequence_length"],
            n_embd=SIZES["hidden_dim"],
            n_layer=SIZES["num_layers"],
            n_head=SIZES["num_heads"],
            bos_token_id=0,
            eos_token_id=None,
        )
        model = transformers.GPT2LMHeadModel(config).eval()
        ids = torch.tensor(prompts(rows, length), dtype=torch.long)

        def generate():
            with torch.inference_mode():
                found = model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=False,
                    max_new_tokens=TOKENS,
                    pad_token_id=0,
                )
            return found[:, length:].numel()

        return rounds_of(generate, rows)

    return side_by_side.Contender(prepare, ("torch", "transformers"))


CONTENDERS = {
    "tfzoo, XLA": tfzoo(jit_compile=True),
    "tfzoo, graph": tfzoo(jit_compile=False),
    "KerasHub, graph": keras_hub(),
    "KerasHub, XLA": keras_hub(jit_compile=True),
    "PyTorch transformers": pytorch(),
}


def weight_bytes():
    """Bytes that a step reads: all matrices once, including the output table."""
    width, inner = SIZES["hidden_dim"], SIZES["intermediate_dim"]
    per_layer = 4 * width * width + 2 * width * inner
    return 4 * (SIZES["num_layers"] * per_layer + SIZES["vocabulary_size"] * width)


def memory_limit(rows):
    """A line with the tokens per second if a step only had to read the weights."""
    bandwidth = memory_bandwidth()
    seconds = weight_bytes() / bandwidth
    return (
        f"Memory bandwidth is {bandwidth / 1e9:.1f} GB/s, the weights have "
        f"{weight_bytes() / 1e6:.0f} MB: at most {rows / seconds:.0f} tokens/s."
    )


def memory_bandwidth(num_bytes=400_000_000, repeats=7):
    """Bytes per second that two threads read from memory, best of some repeats."""
    import concurrent.futures

    import numpy as np

    parts = np.split(np.ones(num_bytes // 4, np.float32), side_by_side.THREADS)
    best = float("inf")
    with concurrent.futures.ThreadPoolExecutor(side_by_side.THREADS) as threads:
        for _ in range(repeats):
            start = time.perf_counter()
            list(threads.map(np.max, parts))
            best = min(best, time.perf_counter() - start)
    return num_bytes / best


def print_curve(rows, rounds):
    """Prints a table of the cost of a token at several lengths."""
    from tfzoo.training.host_memory import freed_memory_kept

    start = our_start(rows, BLOCK, jit_compile=True)
    num_blocks = SIZES["max_sequence_length"] // BLOCK - 1

    def block_times():
        generation = start(BLOCK * num_blocks)
        times = []
        while not generation.done():
            begin = time.perf_counter()
            generation.advance(BLOCK)
            times.append((time.perf_counter() - begin) / BLOCK)
        return times

    with freed_memory_kept(trim=False):
        block_times()  # compiles
        times = [block_times() for _ in range(rounds)]
    costs = [statistics.median(block) for block in zip(*times, strict=True)]
    print(f"\n{side_by_side.machine()}\n\nBatch {rows}.\n")
    print("| tokens in the context | ms per token | ratio to the first |")
    print("|---|---|---|")
    for i, cost in enumerate(costs, 1):
        print(f"| {i * BLOCK} | {cost * 1e3:.2f} | {cost / costs[0]:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
