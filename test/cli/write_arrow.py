"""Writes the Arrow files that arrow.test.ts saves, with pyarrow and pandas, into the folder that it is given."""

import sys
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.feather

FOLDER = Path(sys.argv[1])
ROWS = 40_000
NAN_BITS = [0x7FF0000000000001, 0x7FF8DEADBEEF0000, 0xFFF8000000000000]


def stream(name: str, table: pa.Table, rows_per_batch: int = 10_000) -> None:
    with pa.ipc.new_stream(FOLDER / name, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)


def some_missing(values: pa.Array) -> pa.Array:
    """The same, of which each third is null."""
    number = np.arange(len(values))
    return values.take(pa.array(number, mask=number % 3 == 2))


def every_type() -> pa.Table:
    number = np.arange(ROWS)
    text = pa.array([f"größe {i}" if i % 5 else "" for i in range(ROWS)])
    columns = {"f64": pa.array(number / 7), "f32": pa.array((number / 8).astype("f4")), "i64_as_f64": pa.array(number)}
    for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
        columns[kind] = pa.array((number % 100).astype(kind))
    columns["int64"] = pa.array(number - 2**62)
    columns["bool"] = pa.array(number % 2 == 1)
    columns["utf8"] = text
    columns["large"] = text.cast(pa.large_string())
    columns["dictionary"] = pa.array([f"kind {i % 4}" for i in range(ROWS)]).dictionary_encode()
    columns = {name: some_missing(column) for name, column in columns.items()}
    columns["view"] = columns["utf8"].cast(pa.string_view())
    columns["nothing"] = pa.nulls(ROWS)
    columns["bits"] = pa.array(np.array(NAN_BITS * (ROWS // 3) + [0] * (ROWS % 3), dtype="u8").view("f8"))
    return pa.table(columns)


def told() -> pa.Table:
    """What the schema tells is the whole problem."""
    x = pa.field("x", pa.float64(), metadata={"role": "design_variable", "unit": "mm", "lower_bound": "-1.5"})
    f = pa.field("f", pa.float32(), metadata={"role": "objective", "direction": "maximize", "description": "lift"})
    return pa.table([[1.5, None], [2.0, 3.0]], schema=pa.schema([x, f], metadata={"optistore.problem": "wing"}))


table = every_type()
stream("all.arrows", table)
pa.feather.write_feather(table, FOLDER / "all.arrow", compression="uncompressed", chunksize=7_000)
stream("told.arrows", told())
stream("role.arrows", pa.table({"x": [1.0]}))
aimless = pa.schema([pa.field("f", pa.float64(), metadata={"role": "objective"})])
stream("direction.arrows", pa.table([[1.0]], schema=aimless))
frame = pandas.DataFrame({"x": [0.5, np.nan], "label": ["a", None]}, index=[7, 9])
stream("index.arrows", pa.Table.from_pandas(frame))
stream("frame.arrows", pa.Table.from_pandas(frame, preserve_index=False))
frame[["x"]].reset_index(drop=True).to_feather(FOLDER / "compressed.feather", compression="lz4")
stream("n_f64.arrows", pa.table({"n": [0.5]}))
stream("n_time.arrows", pa.table({"n": pa.array([1], pa.timestamp("s"))}))
stream("n_huge.arrows", pa.table({"n": pa.array([1, 2**63], pa.uint64())}))
stream("x_inexact.arrows", pa.table({"x": pa.array([None, 2**53 + 1])}))
