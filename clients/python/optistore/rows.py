"""Rows as they are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._columns import Array, Valid
from .v1.problem_pb2 import VALUE_TYPE_BOOL, VALUE_TYPE_FLOAT64, VALUE_TYPE_STRING, Direction, Variable, VariableRole
from .v1.result_pb2 import Backend, Result
from .v1.storage_service_pb2 import LoadHeader, RowSample

if TYPE_CHECKING:
    import pandas
    import pyarrow


class Rows:
    """Consecutive rows of a result, of one of its sets, or of a sample: a column for each variable.

    ``rows["f"]`` is a numpy array. Where values are missing it is a masked array, or, for strings, has None in their places;
    NaN is a value. ``len(rows)`` is the number of rows, ``list(rows)`` are the names of the columns.
    """

    def __init__(
        self,
        header: LoadHeader,
        first_row: int,
        row_count: int,
        values: Sequence[Array],
        valid: Sequence[Valid | None],
        row_numbers: npt.NDArray[np.uint64] | None,
    ) -> None:
        self._header = header
        self._values = {variable.name: column for variable, column in zip(header.variables, values, strict=True)}
        self._valid = {variable.name: there for variable, there in zip(header.variables, valid, strict=True)}
        #: Number of the first row in the result; of a set or a sample, its position in that.
        self.first_row = first_row
        self.row_count = row_count
        #: Of a set, and of a sample: the rows' numbers in the result. None: these are all rows from ``first_row`` on.
        self.row_numbers = row_numbers

    @property
    def result(self) -> Result:
        """The result's metadata, column summaries and sets among them."""
        return self._header.result

    @property
    def variables(self) -> list[Variable]:
        """What the columns are, in their order."""
        return list(self._header.variables)

    @property
    def served_from(self) -> Backend:
        """The store that the load began from."""
        return self._header.served_from

    @property
    def stale(self) -> bool:
        """The primary could not be asked, and may have something newer."""
        return self._header.stale

    @property
    def sample(self) -> RowSample | None:
        """What was chosen, of a sample. None: none was asked for, or the result has no more rows, and these are all."""
        return self._header.sample if self._header.HasField("sample") else None

    def __len__(self) -> int:
        return self.row_count

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def keys(self) -> list[str]:
        """Names of the columns: ``dict(rows)`` has them all."""
        return list(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Array:
        values, valid = self._column(name)
        if valid is None:
            return values
        if values.dtype == object:
            return _with_none(values, valid)
        return np.ma.MaskedArray(values, ~valid)

    def valid(self, name: str) -> Valid | None:
        """Which values of a column are there; None where all are."""
        return self._column(name)[1]

    def _column(self, name: str) -> tuple[Array, Valid | None]:
        if name not in self._values:
            raise KeyError(f'no column "{name}" was loaded, but {", ".join(self._values) or "none"}')
        return self._values[name], self._valid[name]

    def __repr__(self) -> str:
        return f"<Rows {self.first_row}:{self.first_row + self.row_count} of {self.result.key!r}: {', '.join(self)}>"

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame, whose index are the row numbers.

        Columns without missing values have numpy's types; others pandas' own (Float64, Int64, boolean, string), in which NA
        is missing, and NaN a value.
        """
        import pandas

        index = np.arange(self.first_row, self.first_row + self.row_count) if self.row_numbers is None else self.row_numbers
        columns = {name: _series_values(self._values[name], self._valid[name], pandas) for name in self._values}
        return pandas.DataFrame(columns, index=pandas.Index(index, name="row"))

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table, whose schema's metadata has what the variables are. Numbers are not copied.

        Written to a file, ``optistore save KEY FILE.arrow`` takes it as it is.
        """
        import pyarrow

        arrays = [
            _arrow_array(variable, self._values[variable.name], self._valid[variable.name], pyarrow)
            for variable in self._header.variables
        ]
        fields = [
            pyarrow.field(variable.name, array.type, metadata=_field_metadata(variable))
            for variable, array in zip(self._header.variables, arrays, strict=True)
        ]
        metadata = {"key": self.result.key, "revision": str(self.result.revision)}
        return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, metadata=metadata))


def _with_none(values: Array, valid: Valid) -> Array:
    values = values.copy()
    values[~valid] = None
    return values


def _series_values(values: Array, valid: Valid | None, pandas: Any) -> Any:
    if values.dtype == object:
        return pandas.array(values if valid is None else _with_none(values, valid), dtype="string")
    if valid is None:
        return values
    kinds = {"f": pandas.arrays.FloatingArray, "i": pandas.arrays.IntegerArray, "b": pandas.arrays.BooleanArray}
    return kinds[values.dtype.kind](values, ~valid)


def _arrow_array(variable: Variable, values: Array, valid: Valid | None, pyarrow: Any) -> Any:
    if variable.value_type == VALUE_TYPE_STRING:
        return pyarrow.array(values if valid is None else _with_none(values, valid), pyarrow.string())
    bits = None
    missing = 0
    if valid is not None:
        bits = pyarrow.py_buffer(np.packbits(valid, bitorder="little").tobytes())
        missing = len(valid) - int(valid.sum())
    if variable.value_type == VALUE_TYPE_BOOL:
        data = pyarrow.py_buffer(np.packbits(values, bitorder="little").tobytes())
        return pyarrow.Array.from_buffers(pyarrow.bool_(), len(values), [bits, data], missing)
    kind = pyarrow.float64() if variable.value_type == VALUE_TYPE_FLOAT64 else pyarrow.int64()
    return pyarrow.Array.from_buffers(kind, len(values), [bits, pyarrow.py_buffer(values)], missing)


def _field_metadata(variable: Variable) -> dict[str, str]:
    metadata = {"role": VariableRole.Name(variable.role).removeprefix("VARIABLE_ROLE_").lower()}
    if variable.direction:
        metadata["direction"] = Direction.Name(variable.direction).removeprefix("DIRECTION_").lower()
    if variable.unit:
        metadata["unit"] = variable.unit
    if variable.description:
        metadata["description"] = variable.description
    for name in ("lower_bound", "upper_bound", "ideal", "nadir", "target", "tolerance"):
        if variable.HasField(name):
            metadata[name] = str(getattr(variable, name))
    return metadata
