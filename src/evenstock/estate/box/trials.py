"""Many plays: the same seeds under every policy, so that all of them meet the same customers, on all processors."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from evenstock.estate.box.policies import Policy
from evenstock.estate.box.results import Result, result
from evenstock.estate.box.scenario import Scenario

Trial = tuple[Scenario, int, Policy]


def play_all(trials: Sequence[Trial], processes: int | None = None) -> Iterator[Result]:
    """The results of trials as they come, in any order; the same whatever the number of processes."""
    number = min(processes or os.cpu_count() or 1, len(trials))
    if number <= 1:
        for trial in trials:
            yield result(*trial)
        return
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=spawned) as pool:
        for done in as_completed([pool.submit(result, *trial) for trial in trials]):
            yield done.result()


def trials_of(scenario: Scenario, policies: Sequence[Policy], seeds: Sequence[int]) -> list[Trial]:
    """Every policy with every seed."""
    return [(scenario, seed, policy) for seed in seeds for policy in policies]
