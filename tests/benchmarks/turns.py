"""Works timed in turns, so that what the machine does beside them meets all of them."""

import time
from collections.abc import Callable

ROUNDS = 5


def alternating(*works: Callable[[], object], rounds: int = ROUNDS) -> list[list[float]]:
    """CPU seconds of each work in each round, after one round that does not count."""
    spent: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for times, work in zip(spent, works, strict=True):
            start = time.process_time()
            work()
            if number:
                times.append(time.process_time() - start)
    return spent
