"""Values as programs have them, made into columns as the contract has them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .v1.problem_pb2 import (
    VALUE_TYPE_BOOL,
    VALUE_TYPE_FLOAT64,
    VALUE_TYPE_INT64,
    VALUE_TYPE_STRING,
    ValueType,
    Variable,
)

STRING_BYTES_MAX = 64 * 1024
#: Of all strings of a row.
ROW_BYTES_MAX = 1024 * 1024
#: Offsets into the text of a column have 32 bits.
TEXT_BYTES_MAX = 2**32 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

DTYPES: dict[int, np.dtype[Any]] = {
    VALUE_TYPE_FLOAT64: np.dtype("<f8"),
    VALUE_TYPE_INT64: np.dtype("<i8"),
    VALUE_TYPE_BOOL: np.dtype("?"),
}

Array: TypeAlias = npt.NDArray[Any]
Valid: TypeAlias = npt.NDArray[np.bool_]
#: What ``append`` takes: rows or columns by name, a table of numbers in the problem's order, a DataFrame.
Appended: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Array | Any


@dataclass(frozen=True)
class Column:
    """The values of one variable in consecutive rows."""

    #: Numbers; of strings, the n + 1 offsets of their bytes in ``utf8``.
    values: Array
    #: The bytes of strings.
    utf8: bytes | memoryview | None
    #: Which values are there. None: all.
    valid: Valid | None


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows, column by column."""

    row_count: int
    columns: list[Column]

    @property
    def byte_length(self) -> int:
        """Bytes of the values."""
        return sum(column.values.nbytes + len(column.utf8 or b"") for column in self.columns)


def chunk_of(variables: Sequence[Variable], data: Appended) -> Chunk:
    """Columns of whatever was appended; TypeError or ValueError that names the column which does not fit."""
    by_name = _by_name(variables, data)
    _check_names(variables, by_name)
    columns: list[Column] = []
    row_count = 0
    for i, variable in enumerate(variables):
        values = by_name[variable.name]
        column = _column_of(variable, values)
        length = len(column.values) - (0 if column.utf8 is None else 1)
        if i == 0:
            row_count = length
        elif length != row_count:
            raise ValueError(f'"{variable.name}" has {length} values where the first column has {row_count}')
        columns.append(column)
    _check_rows([column.values for column in columns if column.utf8 is not None])
    return Chunk(row_count, columns)


def _check_rows(offsets: Sequence[Array]) -> None:
    """ValueError where the strings of a row are too long together; few can't be."""
    if len(offsets) * STRING_BYTES_MAX <= ROW_BYTES_MAX:
        return
    lengths: Array = np.sum([np.diff(of_column.astype(np.int64)) for of_column in offsets], axis=0)
    if lengths.max(initial=0) > ROW_BYTES_MAX:
        raise ValueError(
            f"row {int(lengths.argmax())} has {lengths.max()} bytes of text in all; a row has at most {ROW_BYTES_MAX}"
        )


def is_row(data: Appended) -> bool:
    """Whether it is one row: values by name."""
    return isinstance(data, Mapping) and bool(data) and all(_is_scalar(value) for value in data.values())


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, (float, int, str, bool, np.generic))


def _is_missing(value: object) -> bool:
    """Whether it is one of those that stand for a missing value beside None."""
    pandas = sys.modules.get("pandas")
    return value is np.ma.masked or (pandas is not None and value is pandas.NA)


def _by_name(variables: Sequence[Variable], data: Appended) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    if isinstance(data, np.ndarray):
        if data.dtype.names is not None:
            return {name: data[name] for name in data.dtype.names}
        return _by_position(variables, data)
    if _is_frame(data):
        frame: Any = data
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise ValueError(f'the DataFrame has two columns "{twice}"')
        return {name: frame.iloc[:, i] for i, name in enumerate(names)}
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _by_rows(variables, data)
    raise TypeError(
        "rows are a dict of columns or of values, a list of dicts, a two-dimensional array, or a DataFrame; "
        f"not {type(data).__name__}"
    )


def _is_frame(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _by_position(variables: Sequence[Variable], data: Array) -> Mapping[str, Any]:
    table = data.reshape(1, -1) if data.ndim == 1 else data
    if table.ndim != 2 or table.shape[1] != len(variables):
        raise ValueError(
            f"an array of rows has a column for each of the {len(variables)} variables; this one has the shape {data.shape}"
        )
    return {variable.name: table[:, i] for i, variable in enumerate(variables)}


def _by_rows(variables: Sequence[Variable], rows: Sequence[Any]) -> Mapping[str, Any]:
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"row {i} is a {type(row).__name__}; a row is a dict of values by name")
        _check_names(variables, row)
    return {variable.name: [row[variable.name] for row in rows] for variable in variables}


def _check_names(variables: Sequence[Variable], by_name: Mapping[str, Any]) -> None:
    names = [variable.name for variable in variables]
    if len(by_name) == len(names) and all(name in by_name for name in names):
        return
    known = set(names)
    for name in by_name:
        if name not in known:
            raise ValueError(f'the problem has no variable "{name}"; leave it out, or add it to the problem as an observable')
    lacking = next(name for name in names if name not in by_name)
    raise ValueError(f'there are no values for the variable "{lacking}"; None stands for a missing one')


def _column_of(variable: Variable, values: Any) -> Column:
    if _is_scalar(values) or _is_missing(values):
        values = [values]
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(values, (pandas.Series, pandas.api.extensions.ExtensionArray)):
        return _of_series(variable, pandas.Series(values))
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        return _of_array(variable, values.data, None if not mask.any() else ~mask)
    if isinstance(values, np.ndarray):
        return _of_array(variable, values, None)
    # Of these, iteration gives keys, names of columns, or no order.
    if isinstance(values, Iterable) and not isinstance(values, (str, bytes, Mapping, Set)) and not _is_frame(values):
        return _of_list(variable, list(values))
    raise TypeError(f'"{variable.name}" is a {type(values).__name__}; a list or an array of values was expected')


def _of_series(variable: Variable, series: Any) -> Column:
    """NaN in plain floats is a value of a float64 variable; for others pandas has no other way to say missing."""
    dtype = series.dtype
    is_plain = isinstance(dtype, np.dtype)
    if is_plain and dtype.kind == "f" and variable.value_type == VALUE_TYPE_FLOAT64:
        return _of_array(variable, series.to_numpy(), None)
    missing = series.isna().to_numpy()
    valid = ~missing if missing.any() else None
    if is_plain and dtype.kind in "iufb":
        values = series.to_numpy()
        return _of_array(variable, np.where(missing, 0, values) if valid is not None else values, valid)
    if not is_plain and getattr(dtype, "kind", "O") in "iufb" and hasattr(dtype, "numpy_dtype"):
        nothing = False if dtype.kind == "b" else 0
        return _of_array(variable, series.to_numpy(dtype=dtype.numpy_dtype, na_value=nothing), valid)
    # Of objects, pandas calls NaN missing.
    is_value = (float, np.floating) if is_plain and variable.value_type == VALUE_TYPE_FLOAT64 else ()
    return _of_list(
        variable,
        [None if gone and not isinstance(value, is_value) else value for value, gone in zip(series, missing, strict=True)],
    )


def _of_array(variable: Variable, values: Array, valid: Valid | None) -> Column:
    if values.ndim != 1:
        raise ValueError(
            f'"{variable.name}" has the shape {values.shape}; a column has one dimension: give each variable its own'
        )
    kind = values.dtype.kind
    wanted = variable.value_type
    if kind == "O" or wanted == VALUE_TYPE_STRING:
        if kind in "OUT":
            listed: list[Any] = values.tolist()
            if valid is not None:
                listed = [value if there else None for value, there in zip(listed, valid.tolist(), strict=True)]
            return _of_list(variable, listed)
    elif wanted == VALUE_TYPE_FLOAT64 and kind in "fiu":
        return _numbers(values.astype("<f8", copy=False), valid)
    elif wanted == VALUE_TYPE_INT64 and kind in "iuf":
        return _numbers(_integers(variable, values, valid), valid)
    elif wanted == VALUE_TYPE_BOOL and kind == "b":
        return _numbers(values, valid)
    raise TypeError(f'"{variable.name}" is an array of {values.dtype}; the variable is {_name_of(wanted)}')


def _numbers(values: Array, valid: Valid | None) -> Column:
    if valid is not None:
        # What stands in the slot of a missing value is not kept.
        values = np.where(valid, values, np.zeros(1, values.dtype))
    return Column(np.ascontiguousarray(values), None, valid)


def _integers(variable: Variable, values: Array, valid: Valid | None) -> Array:
    there = values if valid is None else values[valid]
    if values.dtype.kind == "u" and there.size > 0 and int(there.max()) > INT64_MAX:
        raise ValueError(f'"{variable.name}" has {there.max()}, which is no int64')
    if values.dtype.kind == "f":
        wrong = there[(there != np.trunc(there)) | ~np.isfinite(there) | (there < INT64_MIN) | (there >= 2.0**63)]
        if wrong.size > 0:
            raise ValueError(f'"{variable.name}" has {wrong[0]}, which is no int64')
        values = values if valid is None else np.where(valid, values, 0)
    return values.astype("<i8", copy=False)


def _of_list(variable: Variable, values: list[Any]) -> Column:
    check = checker_of(variable)
    for row, value in enumerate(values):
        if _is_missing(value):
            values[row] = None
        else:
            check(value, row)
    return column_of_checked(variable, values)


def column_of_checked(variable: Variable, values: list[Any]) -> Column:
    """The column of values that its checker has let through."""
    valid = None
    if None in values:
        valid = np.fromiter((value is not None for value in values), np.bool_, len(values))
    if variable.value_type == VALUE_TYPE_STRING:
        encoded = [b"" if value is None else value.encode() for value in values]
        ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(part) for part in encoded], out=ends[1:])
        if ends[-1] > TEXT_BYTES_MAX:
            raise ValueError(f'"{variable.name}" has {ends[-1]} bytes of text in one append; append it in parts')
        offsets = ends.astype("<u4")
        return Column(offsets, b"".join(encoded), valid)
    if valid is not None:
        values = [0 if value is None else value for value in values]
    return Column(np.array(values, DTYPES[variable.value_type]), None, valid)


def checker_of(variable: Variable) -> Callable[[Any, int], None]:
    """What raises TypeError or ValueError where a value does not fit its variable. None fits: it is missing."""
    name = variable.name

    def refuse(value: Any, row: int) -> None:
        raise TypeError(
            f'value {row} of "{name}" is {value!r} ({type(value).__name__}); the variable is {_name_of(variable.value_type)}'
        )

    def number(value: Any, row: int) -> None:
        if type(value) is float or value is None:
            return
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (float, int, np.integer, np.floating)):
            refuse(value, row)
        try:
            float(value)
        except OverflowError:
            raise ValueError(
                f'value {row} of "{name}" is an integer of {value.bit_length()} bits, which is no float64'
            ) from None

    def integer(value: Any, row: int) -> None:
        if value is None:
            return
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            refuse(value, row)
        if not INT64_MIN <= int(value) <= INT64_MAX:
            raise ValueError(f'value {row} of "{name}" is {value}, which is no int64')

    def truth(value: Any, row: int) -> None:
        if value is not None and not isinstance(value, (bool, np.bool_)):
            refuse(value, row)

    def text(value: Any, row: int) -> None:
        if value is None:
            return
        if not isinstance(value, str):
            refuse(value, row)
        try:
            length = len(value.encode())
        except UnicodeEncodeError:
            raise ValueError(f'value {row} of "{name}" is not valid Unicode: half of a surrogate pair') from None
        if length > STRING_BYTES_MAX:
            raise ValueError(f'value {row} of "{name}" has {length} bytes; a string has at most {STRING_BYTES_MAX}')

    checkers: dict[int, Callable[[Any, int], None]] = {
        VALUE_TYPE_FLOAT64: number,
        VALUE_TYPE_INT64: integer,
        VALUE_TYPE_BOOL: truth,
        VALUE_TYPE_STRING: text,
    }
    return checkers[variable.value_type]


def _name_of(value_type: ValueType) -> str:
    name: str = ValueType.Name(value_type)
    return name.removeprefix("VALUE_TYPE_").lower()


class RowGatherer:
    """Rows that are appended one by one, until they are made into columns together."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self._variables = list(variables)
        self._names = {variable.name for variable in variables}
        self._checks = [(variable.name, checker_of(variable)) for variable in variables]
        texts = sum(variable.value_type == VALUE_TYPE_STRING for variable in variables)
        self._has_much_text = texts * STRING_BYTES_MAX > ROW_BYTES_MAX
        self._gathered: list[list[Any]] = []
        #: About.
        self.byte_length = 0

    def checked(self, row: Mapping[str, Any]) -> list[Any]:
        """The values of a row in their order. TypeError or ValueError that names the column which does not fit."""
        if row.keys() != self._names:
            _check_names(self._variables, row)
        values = []
        for name, check in self._checks:
            value = row[name]
            check(value, 0)
            values.append(value)
        if self._has_much_text:
            length = sum(len(value.encode()) for value in values if isinstance(value, str))
            if length > ROW_BYTES_MAX:
                raise ValueError(f"the row has {length} bytes of text in all; a row has at most {ROW_BYTES_MAX}")
        return values

    def add(self, values: list[Any]) -> None:
        """Adds a row that was checked: whole or, where that is interrupted, not at all."""
        self.byte_length += 8 * len(values) + sum(len(value) for value in values if type(value) is str)
        self._gathered.append(values)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self._gathered)

    def chunk(self) -> Chunk:
        """What was gathered."""
        if not self._gathered:
            return Chunk(0, [])
        by_column = zip(*self._gathered, strict=True)
        columns = [
            column_of_checked(variable, list(values)) for variable, values in zip(self._variables, by_column, strict=True)
        ]
        return Chunk(self.row_count, columns)

    def clear(self) -> None:
        """Begins anew."""
        self._gathered = []
        self.byte_length = 0


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk of several that follow each other."""
    if len(chunks) == 1:
        return chunks[0]
    columns = [_joined_column(parts) for parts in zip(*(chunk.columns for chunk in chunks), strict=True)]
    return Chunk(sum(chunk.row_count for chunk in chunks), columns)


def _joined_column(parts: tuple[Column, ...]) -> Column:
    is_text = parts[0].utf8 is not None
    valid = None
    if any(part.valid is not None for part in parts):
        rows = [len(part.values) - is_text for part in parts]
        valid = np.concatenate(
            [np.ones(n, np.bool_) if part.valid is None else part.valid for part, n in zip(parts, rows, strict=True)]
        )
    if not is_text:
        return Column(np.concatenate([part.values for part in parts]), None, valid)
    offsets = [np.zeros(1, "<u4")]
    end = 0
    for part in parts:
        offsets.append((part.values[1:] + np.uint32(end)).astype("<u4"))
        end += int(part.values[-1])
    return Column(np.concatenate(offsets), b"".join(part.utf8 or b"" for part in parts), valid)


def cut(chunk: Chunk, bytes_max: int) -> Iterable[Chunk]:
    """Chunks of about so many bytes."""
    if chunk.byte_length <= bytes_max:
        yield chunk
        return
    ends = np.full(chunk.row_count, _fixed_bytes(chunk), np.int64).cumsum()
    for column in chunk.columns:
        if column.utf8 is not None:
            ends += column.values[1:]
    first = 0
    while first < chunk.row_count:
        before = int(ends[first - 1]) if first > 0 else 0
        end = max(int(np.searchsorted(ends, before + bytes_max, "right")), first + 1)
        yield _sliced(chunk, first, end)
        first = end


def _fixed_bytes(chunk: Chunk) -> int:
    return sum(4 if column.utf8 is not None else column.values.itemsize for column in chunk.columns)


def _sliced(chunk: Chunk, first: int, end: int) -> Chunk:
    columns = []
    for column in chunk.columns:
        valid = None if column.valid is None else column.valid[first:end]
        if valid is not None and valid.all():
            valid = None
        if column.utf8 is None:
            columns.append(Column(column.values[first:end], None, valid))
        else:
            offsets = column.values[first : end + 1]
            utf8 = memoryview(column.utf8)[int(offsets[0]) : int(offsets[-1])]
            columns.append(Column((offsets - offsets[0]).astype("<u4"), utf8, valid))
    return Chunk(end - first, columns)
