"""Opens row files as people do, with pyarrow alone, and prints what is in them as JSON."""

import json
import sys

import pyarrow
import pyarrow.feather
import pyarrow.ipc


def values(column):
    """Values of a column; of doubles their bits, so that NaNs can be told apart."""
    if pyarrow.types.is_float64(column.type):
        return [chunk.view(pyarrow.int64()).to_pylist() for chunk in column.chunks]
    return [chunk.to_pylist() for chunk in column.chunks]


def text(value):
    return None if value is None else str(value)


def read(path):
    with pyarrow.ipc.open_file(path) as reader:
        table = reader.read_all()
        batch_count = reader.num_record_batches
    table.validate(full=True)
    assert pyarrow.feather.read_table(path).equals(table) or has_nan(table)
    return {
        "batch_count": batch_count,
        "about": decoded(table.schema.metadata),
        "types": [str(field.type) for field in table.schema],
        "fields": {field.name: decoded(field.metadata) for field in table.schema},
        # As text: JSON has no integers of 64 bits.
        "columns": {name: [text(v) for chunk in values(table[name]) for v in chunk] for name in table.column_names},
    }


def has_nan(table):
    return any(pyarrow.types.is_float64(column.type) for column in table.columns)


def decoded(metadata):
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}


json.dump([read(path) for path in sys.argv[1:]], sys.stdout)
