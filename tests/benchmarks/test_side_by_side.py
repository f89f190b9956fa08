"""The harness, with contenders that only sleep and count."""

import pathlib
import textwrap

import pytest

from helpers import module

HARNESS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "side_by_side.py"
SCRIPT = """
    import sys, time
    sys.path.insert(0, {folder!r})
    import side_by_side as harness

    def sleeper(seconds):
        def prepare():
            print("chatter before the work")
            state = dict(rounds=0)
            def round():
                print("chatter of a round")
                clock = harness.Stopwatch()
                time.sleep(seconds + (0.2 if state["rounds"] == 0 else 0))
                state["rounds"] += 1
                with open({order!r}, "a") as file:
                    file.write(sys.argv[2] + " ")
                return clock.measured(10, rounds=state["rounds"])
            return round
        return harness.Contender(prepare)

    def broken():
        raise RuntimeError("the work is broken")

    CONTENDERS = dict(
        slow=sleeper(0.04), fast=sleeper(0.01), broken=harness.Contender(broken)
    )
    if __name__ == "__main__":
        harness.serve(CONTENDERS[sys.argv[2]].prepare)
"""


@pytest.fixture(scope="module")
def harness():
    return module(HARNESS)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "sleeping.py"
    text = SCRIPT.format(folder=str(HARNESS.parent), order=str(tmp_path / "order"))
    path.write_text(textwrap.dedent(text))
    return path


def compare(harness, script, names, **options):
    contenders = {name: harness.Contender(None) for name in names}
    return harness.compare(script, contenders, progress=False, **options)


def test_contenders_take_turns_in_a_rotating_order(harness, script):
    compare(harness, script, ["slow", "fast"], rounds=2)
    order = (script.parent / "order").read_text().split()
    assert order == ["slow", "fast", "fast", "slow", "slow", "fast"]


def test_the_faster_one_wins_by_the_ratio_of_their_times(harness, script):
    results = compare(harness, script, ["slow", "fast"], rounds=3)
    assert list(results) == ["slow", "fast"]
    assert 0 < results["slow"].rate() <= 10 / 0.04  # no sleep is shorter
    assert results["fast"].rate() / results["slow"].rate() > 1.5
    assert [m.notes["rounds"] for m in results["slow"].rounds] == [2, 3, 4]


def test_the_first_round_is_reported_separately(harness, script):
    result = compare(harness, script, ["fast"], rounds=2)["fast"]
    assert result.first.seconds > 0.2
    assert len(result.rounds) == 2
    assert 0.15 < result.first_extra() < 2


def test_waiting_takes_wall_time_but_no_cpu_time(harness, script):
    result = compare(harness, script, ["slow"], rounds=2)["slow"]
    assert result.cpu_per_unit() * 10 < 0.02 < result.rounds[0].seconds


def test_a_broken_contender_ends_the_comparison_with_its_own_message(harness, script):
    with pytest.raises(RuntimeError, match="'broken' exited with 1") as caught:
        compare(harness, script, ["fast", "broken"], rounds=1)
    assert "the work is broken" in str(caught.value)


def test_a_contender_whose_package_is_missing_is_skipped_with_a_message(
    harness, script, capsys
):
    contenders = {
        "fast": harness.Contender(None),
        "peer": harness.Contender(None, ("no_such_package",)),
    }
    results = harness.compare(script, contenders, rounds=1, progress=False)
    assert list(results) == ["fast"]
    assert "Skipped: peer, because no_such_package is not" in capsys.readouterr().out


def test_the_table_shows_medians_and_ratios_to_the_baseline(harness):
    def result(*seconds):
        rounds = [harness.Measured(10, s, 2 * s) for s in seconds]
        return harness.Result(harness.Measured(10, 9.0, 9.0), rounds, 5_000_000)

    results = {"peer": result(1, 2, 4), "ours": result(1, 1, 100)}
    text = harness.table(results, unit="steps", baseline="peer")
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    assert cells[-2] == ["peer", "5", "2.5 - 10", "1.00", "0.4", "7.0", "5"]
    assert cells[-1] == ["ours", "10", "0.1 - 10", "2.00", "0.2", "8.0", "5"]
    assert text.splitlines()[0] == harness.machine()


def test_a_table_without_its_baseline_has_no_ratios(harness):
    rounds = [harness.Measured(1, 1.0, 1.0)]
    results = {"ours": harness.Result(rounds[0], rounds, 1)}
    last = harness.table(results, unit="steps", baseline="peer").splitlines()[-1]
    assert last.split("|")[4].strip() == ""


def test_the_machine_is_described_with_the_versions_that_matter(harness):
    line = harness.machine()
    for word in ("cores (2 used)", "GiB", "Python 3.", "tensorflow 2.", "keras 3."):
        assert word in line
    assert "\n" not in line
