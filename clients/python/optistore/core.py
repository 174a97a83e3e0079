"""A run as frames of pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

try:
    import pandas
except ImportError as error:
    raise ImportError('optistore.core and optistore.storage need pandas: pip install "optistore[pandas]"') from error

from .problem import PythonType, design_variable, equality_constraint, inequality_constraint, objective, observable
from .row_numbers import RowsOfSet, as_array
from .v1.problem_pb2 import (
    VARIABLE_ROLE_DESIGN_VARIABLE,
    VARIABLE_ROLE_EQUALITY_CONSTRAINT,
    VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
    VARIABLE_ROLE_OBJECTIVE,
    VARIABLE_ROLE_OBSERVABLE,
    Problem,
    Variable,
)

#: The frames of a run, and the role of their columns, in the order in which columns are stored.
ROLES = {
    "design_variables": VARIABLE_ROLE_DESIGN_VARIABLE,
    "objectives": VARIABLE_ROLE_OBJECTIVE,
    "inequality_constraints": VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
    "equality_constraints": VARIABLE_ROLE_EQUALITY_CONSTRAINT,
    "observables": VARIABLE_ROLE_OBSERVABLE,
}


@dataclass(eq=False)
class OptimizationResult:
    """What an optimization run evaluated: a row each, in frames of equal length by the role of their columns.

    Columns are floats, integers, truth values or text; NA is missing, and NaN in plain floats a value. Their names are unique
    over all frames. ValueError or TypeError where that is not so.
    """

    design_variables: pandas.DataFrame = field(default_factory=pandas.DataFrame)
    objectives: pandas.DataFrame = field(default_factory=pandas.DataFrame)
    #: They hold where a value is at most 0, or within the bounds that ``problem`` gives.
    inequality_constraints: pandas.DataFrame = field(default_factory=pandas.DataFrame)
    #: They hold where a value is 0 within 1e-6, or as ``problem`` says.
    equality_constraints: pandas.DataFrame = field(default_factory=pandas.DataFrame)
    observables: pandas.DataFrame = field(default_factory=pandas.DataFrame)
    #: Facts as JSON would have them.
    metadata: dict[str, Any] = field(default_factory=dict)
    #: Named subsets: row numbers in ascending order, or masks of all rows.
    result_sets: dict[str, RowsOfSet] = field(default_factory=dict)
    #: Which objectives are maximized; the others are minimized.
    directions: Mapping[str, Literal["minimize", "maximize"]] = field(default_factory=dict)
    #: Units, bounds and all else that is known of the variables; it names just the columns of the frames. None: made of them.
    problem: Problem | None = None
    #: Where it was loaded from.
    key: str | None = None
    revision: int | None = None

    def __post_init__(self) -> None:
        frames = {name: frame for name in ROLES if len((frame := getattr(self, name)).columns) > 0}
        lengths = {name: len(frame) for name, frame in frames.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the frames of a run have equal length, but these have {lengths}")
        seen: dict[str, str] = {}
        for name, frame in frames.items():
            for column in map(str, frame.columns):
                if column in seen:
                    raise ValueError(f'"{column}" is a column of {seen[column]} and of {name}; names are unique in a run')
                seen[column] = name

    def __len__(self) -> int:
        return max((len(getattr(self, name)) for name in ROLES), default=0)

    def to_frame(self) -> pandas.DataFrame:
        """All columns side by side, in the order in which they are stored."""
        columns = {str(name): frame[name].array for frame in self._frames() for name in frame.columns}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(len(self)))

    def to_problem(self) -> Problem:
        """What is optimized: as was given, else made of the frames."""
        if self.problem is None:
            return Problem(variables=[self._variable(role, c, frame[c]) for role, frame, c in self._columns()])
        told = [variable.name for variable in self.problem.variables]
        found = list(self.to_frame().columns)
        if sorted(told) != sorted(found):
            raise ValueError(f"the problem has the variables {told}, but the frames have the columns {found}")
        return self.problem

    def equals(self, other: OptimizationResult) -> bool:
        """Whether both have the same values, metadata and sets; NaN equals NaN."""
        return (
            all(_same_frame(getattr(self, name), getattr(other, name)) for name in ROLES)
            and self.metadata == other.metadata
            and {name: positions(rows) for name, rows in self.result_sets.items()}
            == {name: positions(rows) for name, rows in other.result_sets.items()}
        )

    def _frames(self) -> list[pandas.DataFrame]:
        return [getattr(self, name) for name in ROLES]

    def _columns(self) -> list[tuple[str, pandas.DataFrame, Any]]:
        return [(name, getattr(self, name), column) for name in ROLES for column in getattr(self, name).columns]

    def _variable(self, role: str, column: Any, values: Any) -> Variable:
        name = str(column)
        kind = _python_type(name, values)
        if role == "design_variables":
            return design_variable(name, type=kind)
        if role == "objectives":
            return objective(name, self.directions.get(name, "minimize"), type=kind)
        if role == "inequality_constraints":
            return inequality_constraint(name, type=kind)
        if role == "equality_constraints":
            return equality_constraint(name, type=kind)
        return observable(name, type=kind)


def positions(rows: RowsOfSet) -> list[int]:
    """The numbers of rows that are given by numbers or by a mask."""
    given = as_array(rows)
    return [int(row) for row in (np.flatnonzero(given) if given.dtype == np.bool_ else given)]


def _python_type(name: str, values: Any) -> PythonType:
    kind = getattr(values.dtype, "kind", "O")
    kinds: dict[str, PythonType] = {"f": float, "i": int, "u": int, "b": bool}
    if kind in kinds:
        return kinds[kind]
    there = values.dropna()
    if all(isinstance(value, str) for value in there):
        return str
    if len(there) > 0 and all(isinstance(value, bool) for value in there):
        return bool
    raise TypeError(f'"{name}" has the type {values.dtype}; a column has floats, integers, truth values or text')


def _same_frame(a: pandas.DataFrame, b: pandas.DataFrame) -> bool:
    if len(a.columns) == 0 and len(b.columns) == 0:
        return True
    return [*map(str, a.columns)] == [*map(str, b.columns)] and all(
        a[x].reset_index(drop=True).equals(b[y].reset_index(drop=True)) for x, y in zip(a.columns, b.columns, strict=True)
    )
