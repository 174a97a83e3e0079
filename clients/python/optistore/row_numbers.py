"""Which rows a result set has: the contract's RowNumbers as numbers, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .v1.rows_pb2 import RowNumbers

#: Rows of a set: numbers in ascending order, each once; or a mask of all rows.
RowsOfSet: TypeAlias = Iterable[int] | npt.NDArray[Any]


def to_message(rows: RowsOfSet) -> RowNumbers:
    """The message that names these rows. ValueError or TypeError where they are out of order, negative or no numbers."""
    numbers = as_array(rows)
    if numbers.dtype == np.bool_:
        return RowNumbers(bitmap=np.packbits(numbers, bitorder="little").tobytes())
    if numbers.dtype.kind not in "iu" and numbers.size > 0:
        raise TypeError(f"rows are numbers from 0 on, or a mask; not {numbers.dtype}")
    if numbers.size > 0 and (int(numbers.min()) < 0 or (numbers[1:] <= numbers[:-1]).any()):
        raise ValueError("rows are numbers from 0 on, in ascending order, each once")
    return RowNumbers(list=numbers.astype("<u8").tobytes())


def as_array(rows: RowsOfSet) -> npt.NDArray[Any]:
    """Rows as they were given: numbers, or truth values, where what is missing is in no set."""
    dtype: Any = getattr(rows, "dtype", None)
    given: Any = rows
    if not isinstance(rows, np.ndarray):
        # Of a mask of pandas, which may have NA.
        is_mask = getattr(dtype, "kind", None) == "b"
        given = given.to_numpy(dtype=bool, na_value=False) if is_mask else np.asarray(list(rows))
    if given.dtype == np.bool_:
        given = np.ma.filled(given, False)
    if given.ndim != 1:
        raise ValueError(f"rows have the shape {given.shape}; numbers or a mask in one dimension were expected")
    return np.asarray(given)


def from_message(rows: RowNumbers) -> npt.NDArray[np.uint64]:
    """The rows' numbers, in ascending order."""
    form = rows.WhichOneof("form")
    if form == "list":
        return np.frombuffer(rows.list, "<u8").astype(np.uint64)
    if form == "bitmap":
        return np.flatnonzero(np.unpackbits(np.frombuffer(rows.bitmap, "u1"), bitorder="little")).astype(np.uint64)
    if form == "deltas":
        ends: npt.NDArray[np.uint64] = np.cumsum(_varints(rows.deltas) + np.uint64(1))
        return ends - np.uint64(1)
    if form == "ranges":
        gaps, lengths = _varints(rows.ranges).reshape(-1, 2).T
        lengths = lengths + np.uint64(1)
        ends = np.cumsum(gaps + lengths)
        # Each row is its place among all rows of the set, and what was left out before its run.
        return np.arange(int(lengths.sum()), dtype=np.uint64) + np.repeat(ends - np.cumsum(lengths), lengths.astype(np.int64))
    return np.empty(0, np.uint64)


def _varints(content: bytes) -> npt.NDArray[np.uint64]:
    """LEB128 numbers that follow each other."""
    octets = np.frombuffer(content, "u1").astype(np.uint64)
    ends = np.flatnonzero(octets < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1]) if ends.size > 0 else np.empty(0, np.int64)
    places = np.arange(octets.size) - np.repeat(starts, ends - starts + 1)
    parts = (octets & np.uint64(0x7F)) << (np.uint64(7) * places.astype(np.uint64))
    numbers: npt.NDArray[np.uint64] = np.add.reduceat(parts, starts) if starts.size > 0 else np.empty(0, np.uint64)
    return numbers
