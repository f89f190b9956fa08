"""Measures contenders side by side; shared by the benchmarks.

Each contender runs in its own process, on two threads and two cores. First all get
ready, then they take turns: one round each, in rotating order, so that other load on
the machine affects all of them equally. The table shows medians over the rounds, and
the ratio of each median to the baseline's.

A benchmark is a script whose `main` has an argument `contender`:

    def main(contender: str = "", rounds: int = 5):
        if contender:
            return side_by_side.serve(CONTENDERS[contender].prepare)
        results = side_by_side.compare(__file__, CONTENDERS, rounds=rounds)
        print(side_by_side.table(results, unit="steps", baseline="KerasHub"))
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

THREADS = 2
ANSWER = "side_by_side: "  # prefix of a contender's lines that are not other output
PACKAGES = ("tensorflow", "keras", "keras-hub", "torch", "transformers", "tokenizers")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


@dataclasses.dataclass(frozen=True)
class Contender:
    """One implementation of the work.

    Attributes:
        prepare: Called once in the contender's process; returns `round`, a function
            without arguments that does the work once and returns a `Measured`.
        requires: Importable packages that the contender needs.
    """

    prepare: Callable
    requires: tuple = ()


@dataclasses.dataclass(frozen=True)
class Measured:
    """A round: how much was done, and the time it took.

    Attributes:
        count: Number of steps, examples, strings, ...
        seconds: Wall time.
        cpu_seconds: CPU time of the process, over all threads.
        notes: Other numbers by name, such as a loss.
    """

    count: int
    seconds: float
    cpu_seconds: float
    notes: dict = dataclasses.field(default_factory=dict)


class Stopwatch:
    """Wall and CPU time since its creation."""

    def __init__(self):
        self._seconds, self._cpu_seconds = time.perf_counter(), time.process_time()

    def measured(self, count, **notes):
        """The time since creation, in which `count` units were done."""
        seconds = time.perf_counter() - self._seconds
        cpu_seconds = time.process_time() - self._cpu_seconds
        return Measured(count, seconds, cpu_seconds, notes)


@dataclasses.dataclass
class Result:
    """All rounds of one contender.

    Attributes:
        first: The first round, which includes tracing and compiling.
        rounds: The rounds after it.
        peak_bytes: Peak memory of the process.
    """

    first: Measured
    rounds: list
    peak_bytes: int

    def rate(self):
        """Median units per second."""
        return statistics.median(m.count / m.seconds for m in self.rounds)

    def cpu_per_unit(self):
        """Median CPU seconds per unit."""
        return statistics.median(m.cpu_seconds / m.count for m in self.rounds)

    def first_extra(self):
        """Extra seconds of the first round, compared to later rounds."""
        return max(0.0, self.first.seconds - self.first.count / self.rate())


def serve(prepare):
    """Runs a contender's process: prepares, then does a round for every line read.

    Args:
        prepare: See `Contender`.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    measure = prepare()
    print(ANSWER + "{}", flush=True)
    for _ in sys.stdin:
        answer = {**dataclasses.asdict(measure()), "peak_bytes": _peak_bytes()}
        print(ANSWER + json.dumps(answer), flush=True)


def compare(script, contenders, *, rounds, arguments=(), progress=True):
    """Measures contenders in turns.

    Args:
        script: Path of the benchmark, run as `script --contender NAME arguments...`.
        contenders: Dict of name -> `Contender`. Those whose packages are missing are
            skipped, with a message.
        rounds: Number of rounds after the first one.
        arguments: Other command-line arguments.
        progress: Whether to print a line per round to stderr.

    Returns:
        Dict of name -> `Result`, in the order of `contenders`.

    Raises:
        RuntimeError: a contender's process exited; includes the end of its output.
    """
    processes = {}
    try:
        for name, contender in contenders.items():
            missing = [p for p in contender.requires if not _installed(p)]
            if missing:
                print(f"Skipped: {name}, because {missing[0]} is not installed.")
                continue
            processes[name] = _Process(name, script, arguments)
            processes[name].answer()
            if progress:
                print(f"ready: {name}", file=sys.stderr)
        return _take_turns(processes, rounds, progress)
    finally:
        for process in processes.values():
            process.end()


def _take_turns(processes, rounds, progress):
    names, results = list(processes), {}
    for turn in range(rounds + 1):
        start = turn % max(len(names), 1)
        for name in names[start:] + names[:start]:
            answer = processes[name].round()
            peak_bytes = answer.pop("peak_bytes")
            measured = Measured(**answer)
            if turn == 0:
                results[name] = Result(measured, [], peak_bytes)
            else:
                results[name].rounds.append(measured)
                results[name].peak_bytes = peak_bytes
            if progress:
                rate = measured.count / measured.seconds
                print(f"{turn}/{rounds} {name}: {rate:.4g}/s", file=sys.stderr)
    return {name: results[name] for name in names}


class _Process:
    """A contender's process, which waits for lines on standard input."""

    def __init__(self, name, script, arguments):
        self._name = name
        command = [sys.executable, "-W", "ignore", str(script), "--contender", name]
        threads = dict.fromkeys(THREAD_VARIABLES, str(THREADS))
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **threads},
        )

    def answer(self):
        """The next answer, a JSON object; other output before it is dropped."""
        chatter = []
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line.removeprefix(ANSWER))
            chatter = [*chatter[-30:], line]
        raise RuntimeError(
            f"The contender {self._name!r} exited with {self._process.wait()}:\n"
            + "".join(chatter)
        )

    def round(self):
        with contextlib.suppress(BrokenPipeError):  # answer() reports why it exited
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        return self.answer()

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def table(results, *, unit, baseline=None):
    """The results as a Markdown table, below a line about the machine.

    Args:
        results: Result of `compare`.
        unit: The unit counted, in plural: "steps".
        baseline: Name of the contender with ratio 1. Defaults to the first. If it was
            skipped, there are no ratios.
    """
    baseline = baseline or next(iter(results), None)
    one = unit.removesuffix("s")
    rows = [
        f"| contender | {unit}/s | lowest - highest | ratio | CPU s per {one} "
        "| first round: extra s | peak memory MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        rates = [m.count / m.seconds for m in result.rounds]
        ratio = (
            f"{result.rate() / results[baseline].rate():.2f}"
            if baseline in results
            else ""
        )
        rows.append(
            f"| {name} | {result.rate():.4g} | {min(rates):.4g} - {max(rates):.4g} "
            f"| {ratio} | {result.cpu_per_unit():.3g} | {result.first_extra():.1f} "
            f"| {result.peak_bytes / 1e6:.0f} |"
        )
    return "\n".join([machine(), "", *rows])


def machine():
    """A line with processor, cores, memory, system, Python and package versions."""
    versions = [
        f"{package} {importlib.metadata.version(package)}"
        for package in PACKAGES
        if _installed(package.replace("-", "_"))
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d')}, {_processor()}, {os.cpu_count()} cores "
        f"({THREADS} used), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


def _processor():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _installed(package):
    return importlib.util.find_spec(package) is not None


def _peak_bytes():
    """Peak resident size of this process so far; Linux reports KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
