"""A pool of processes with ordered results and bounded memory."""

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time

from tfzoo.errors import TfzooError

_TASKS_AHEAD = 3  # per process, enough to keep all of them busy
_state = None


class Workers:
    """Calls `function(state, task)` for many tasks, here or in worker processes.

    Processes are spawned, because TensorFlow does not survive a fork; a script that
    uses them must therefore guard its entry point with `__name__ == "__main__"`. They
    end with this process, however it ends.

    Args:
        processes: Number of processes; 1 works in this process.
        make_state: Picklable function without arguments, called once in each process.
    """

    def __init__(self, processes, make_state):
        if processes < 1:
            raise ValueError(f"processes must be >= 1. Received: {processes}")
        self.processes = processes
        self._make_state = make_state
        self._executor = None

    def __enter__(self):
        if self.processes == 1:
            self._state = self._make_state()
            return self
        context = multiprocessing.get_context("spawn")
        self._started = context.Value("i", 0)
        self._executor = concurrent.futures.ProcessPoolExecutor(
            self.processes,
            mp_context=context,
            initializer=_start,
            initargs=(self._make_state, self._started),
        )
        return self

    def __exit__(self, *exception):
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def wait_until_started(self):
        """Waits until every process has its state, so that the work can be timed."""
        if self._executor is None:
            return
        with _broken_is_loud():
            calls = [self._executor.submit(int) for _ in range(self.processes)]
            while self._started.value < self.processes:
                time.sleep(0.02)
                for call in calls:
                    if call.done():
                        call.result()

    def map(self, function, tasks):
        """Yields the results in the order of `tasks`, an iterable read lazily."""
        if self._executor is None:
            for task in tasks:
                yield function(self._state, task)
            return
        tasks = iter(tasks)
        waiting = collections.deque()
        with _broken_is_loud():
            try:
                for task in itertools.islice(tasks, _TASKS_AHEAD * self.processes):
                    waiting.append(self._executor.submit(_call, function, task))
                while waiting:
                    result = waiting.popleft().result()
                    for task in itertools.islice(tasks, 1):
                        waiting.append(self._executor.submit(_call, function, task))
                    yield result
            finally:
                for future in waiting:
                    future.cancel()


@contextlib.contextmanager
def _broken_is_loud():
    try:
        yield
    except concurrent.futures.process.BrokenProcessPool:
        raise TfzooError(
            "A worker process died (killed, or out of memory).",
            fix="Run the same command again with fewer processes.",
        ) from None


def _start(make_state, started):
    global _state
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent ends the workers
        signal.signal(number, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _state = make_state()
    with started.get_lock():
        started.value += 1


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _call(function, task):
    return function(_state, task)
