"""What is saved and loaded: the same as by the parts of the bench in TypeScript."""

import numpy as np

COLUMNS = 40
BATCH_ROWS = 3276  # just under 1 MiB
SMALL_ROWS = 1024  # 320 KB
SMALL_COUNT = 1000
GB = 1e9


def batch(rows: int = BATCH_ROWS) -> dict[str, np.ndarray]:
    """Rows of noise, by column."""
    return {f"v{i}": np.random.random(rows) for i in range(COLUMNS)}


def batch_count(gigabytes: float = 1.0) -> int:
    """How many batches are so much."""
    return round(gigabytes * GB / (COLUMNS * BATCH_ROWS * 8))
