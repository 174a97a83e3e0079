"""What is saved and loaded: the same as by the parts of the bench in TypeScript."""

import numpy as np

COLUMNS = 40
BATCH_ROWS = 3276  # just under 1 MiB
LARGE_BATCHES = 954  # 1 GB
SMALL_ROWS = 1024  # 320 KB
SMALL_COUNT = 1000
ROWS_APPENDED = 2000

Result = dict[str, np.ndarray]


def noise(rows: int) -> Result:
    """Rows of noise, by column."""
    return {f"v{i}": np.random.random(rows) for i in range(COLUMNS)}


def large() -> list[Result]:
    """The rows of a result of 1 GB, by batch. They repeat, so that they take little memory."""
    batches = [noise(BATCH_ROWS) for _ in range(8)]
    return [batches[i % len(batches)] for i in range(LARGE_BATCHES)]


def joined(batches: list[Result]) -> Result:
    """The same, as whole columns."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def size_of(batches: list[Result]) -> int:
    return sum(values.nbytes for batch in batches for values in batch.values())
