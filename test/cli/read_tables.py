"""Writes a table with the values that formats lose, and prints what libraries read of tables, so that it can be compared."""

import json
import math
import struct
import sys

import duckdb
import numpy
import pandas
import polars
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

NAN_WITH_PAYLOAD = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_BEEF))[0]
DOUBLES = [0.1, -0.0, 0.0, None, math.nan, math.inf, -math.inf, 5e-324, NAN_WITH_PAYLOAD, -math.nan, 1.7976931348623157e308]
INTEGERS = [2**63 - 1, -(2**63), 2**53 + 1, None, 0, -1, 1, -(2**53) - 1, 7, 8, 9]
BOOLS = [True, False, None, True, False, True, None, True, True, False, False]
STRINGS = ["a", "", None, "🚀", "two\nlines", '"', "é" * 300, ",", "\t", "\u0001", "NaN"]


def write(path):
    """All of it, and often enough for more than one record batch and page."""

    def field(name, kind, **told):
        return pyarrow.field(name, kind, metadata=told)

    schema = pyarrow.schema(
        [
            field("x", pyarrow.float64(), role="design_variable", unit="in", lower_bound="-inf"),
            field("f", pyarrow.float64(), role="objective", direction="maximize"),
            field("n", pyarrow.int64(), role="observable"),
            field("ok", pyarrow.bool_(), role="observable"),
            field("label", pyarrow.string(), role="observable"),
        ],
        metadata={"optistore.problem": "all values", "optistore.solver": "by hand"},
    )
    # Of a list, pyarrow would make one NaN of all.
    bits = numpy.array([0 if value is None else struct.unpack("<Q", struct.pack("<d", value))[0] for value in DOUBLES], numpy.uint64)
    missing = numpy.array([value is None for value in DOUBLES])
    times = 6_000
    doubles = pyarrow.array(numpy.tile(bits, times).view(numpy.float64), mask=numpy.tile(missing, times))
    columns = [doubles, doubles[::-1], pyarrow.array(INTEGERS * times), pyarrow.array(BOOLS * times), pyarrow.array(STRINGS * times)]
    with pyarrow.ipc.new_stream(path, schema) as stream:
        stream.write_table(pyarrow.table(columns, schema=schema), max_chunksize=20_000)


def write_parquet(folder):
    """The same by every writer that people have, and in every form of the format; a NaN without payload."""
    write(folder + "/source.arrows")
    table = pyarrow.ipc.open_stream(folder + "/source.arrows").read_all()
    for place, name in enumerate(("x", "f")):
        doubles = table.column(name).combine_chunks()
        plain = numpy.where(numpy.isnan(doubles.fill_null(0).to_numpy()), math.nan, doubles.fill_null(0).to_numpy())
        field = table.schema.field(name)
        table = table.set_column(place, field, pyarrow.array(plain, mask=doubles.is_null().to_numpy(zero_copy_only=False)))
    with pyarrow.ipc.new_stream(folder + "/plain.arrows", table.schema) as stream:
        stream.write_table(table)
    for compression in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        pyarrow.parquet.write_table(table, f"{folder}/{compression}.parquet", compression=compression, row_group_size=25_000)
    pyarrow.parquet.write_table(table, folder + "/v2.parquet", data_page_version="2.0", use_dictionary=False, version="2.6")
    pyarrow.parquet.write_table(
        table, folder + "/split.parquet", use_dictionary=False, column_encoding={"x": "BYTE_STREAM_SPLIT", "n": "DELTA_BINARY_PACKED"}
    )
    table.to_pandas(types_mapper=pandas.ArrowDtype).to_parquet(folder + "/pandas.parquet", index=False)
    polars.from_arrow(table).write_parquet(folder + "/polars.parquet")
    arrow_table = table
    duckdb.sql("SELECT * FROM arrow_table").write_parquet(folder + "/duckdb.parquet")
    times = pyarrow.table({"x": pyarrow.array([0], pyarrow.timestamp("ms"))})
    pyarrow.parquet.write_table(times, folder + "/times.parquet")
    narrow = {"x": pyarrow.array([1.5, None], pyarrow.float32()), "n": pyarrow.array([2**32 - 1, 7], pyarrow.uint32())}
    pyarrow.parquet.write_table(pyarrow.table(narrow), folder + "/narrow.parquet")
    beyond = {"n": pyarrow.array([1, 2**63], pyarrow.uint64())}
    pyarrow.parquet.write_table(pyarrow.table(beyond), folder + "/beyond.parquet")


def read(path, library):
    """As a table of Arrow, by the library's own reader."""
    kind = path.rsplit(".", 1)[1]
    if library == "pandas":
        read = pandas.read_parquet if kind == "parquet" else pandas.read_feather
        return pyarrow.Table.from_pandas(read(path, dtype_backend="pyarrow"), preserve_index=False)
    if library == "polars":
        read = {"parquet": polars.read_parquet, "arrow": polars.read_ipc, "arrows": polars.read_ipc_stream}[kind]
        return read(path).to_arrow()
    if library == "duckdb" and kind == "parquet":
        return duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table()
    if kind == "parquet":
        arrow_table = pyarrow.parquet.read_table(path)
    else:
        arrow_table = (pyarrow.ipc.open_file if kind == "arrow" else pyarrow.ipc.open_stream)(path).read_all()
    # DuckDB reads Arrow from the memory of the same process, by the variable's name.
    return duckdb.sql("SELECT * FROM arrow_table").to_arrow_table() if library == "duckdb" else arrow_table


def values(column):
    """Doubles as their bits, integers as text: JSON has no words for them."""
    column = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    if pyarrow.types.is_floating(column.type):
        bits = column.fill_null(0).to_numpy(zero_copy_only=False).view(numpy.uint64)
        missing = column.is_null().to_numpy(zero_copy_only=False)
        return [None if gone else f"{bit:016x}" for bit, gone in zip(bits.tolist(), missing.tolist())]
    cells = column.to_pylist()
    return [str(cell) for cell in cells] if pyarrow.types.is_integer(column.type) and None not in cells else [
        cell if cell is None or isinstance(cell, (bool, str)) else str(cell) for cell in cells
    ]


def told(path, library):
    table = read(path, library)
    return {name: values(table.column(name)) for name in table.column_names}


if sys.argv[1] == "write":
    write(sys.argv[2])
elif sys.argv[1] == "write-parquet":
    write_parquet(sys.argv[2])
else:
    _, _, source, *paths = sys.argv
    expected = told(source, "pyarrow") if source else None
    for path in paths:
        for library in ("pyarrow", "pandas", "polars", "duckdb"):
            if path.endswith(".arrows") and library == "pandas":
                continue
            found = told(path, library)
            if expected is None:
                print(json.dumps({"path": path, "library": library, "columns": found}))
                continue
            differences = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
            print(json.dumps({"path": path, "library": library, "differences": differences}))
