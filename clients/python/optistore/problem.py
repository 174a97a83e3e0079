"""What was optimized: the columns of a result, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .v1.problem_pb2 import (
    DIRECTION_MAXIMIZE,
    DIRECTION_MINIMIZE,
    VALUE_TYPE_BOOL,
    VALUE_TYPE_FLOAT64,
    VALUE_TYPE_INT64,
    VALUE_TYPE_STRING,
    VARIABLE_ROLE_DESIGN_VARIABLE,
    VARIABLE_ROLE_EQUALITY_CONSTRAINT,
    VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
    VARIABLE_ROLE_OBJECTIVE,
    VARIABLE_ROLE_OBSERVABLE,
    Problem,
    ValueType,
    Variable,
)

#: Types of values, as Python names them.
PythonType = type[float] | type[int] | type[bool] | type[str]

_TYPES: dict[PythonType, ValueType] = {
    float: VALUE_TYPE_FLOAT64,
    int: VALUE_TYPE_INT64,
    bool: VALUE_TYPE_BOOL,
    str: VALUE_TYPE_STRING,
}


def design_variable(
    name: str,
    lower: float | None = None,
    upper: float | None = None,
    *,
    type: PythonType = float,
    unit: str = "",
    description: str = "",
    categories: Sequence[str] = (),
) -> Variable:
    """A variable that the solver chooses, between bounds where there are some.

    ``categories`` are the choices of a categorical variable, whose type is ``str``.
    """
    return Variable(
        name=name,
        role=VARIABLE_ROLE_DESIGN_VARIABLE,
        value_type=_type_of(type),
        unit=unit,
        description=description,
        lower_bound=lower,
        upper_bound=upper,
        categories=categories,
    )


def objective(
    name: str,
    direction: Literal["minimize", "maximize"] = "minimize",
    *,
    type: PythonType = float,
    unit: str = "",
    description: str = "",
    ideal: float | None = None,
    nadir: float | None = None,
) -> Variable:
    """What is minimized or maximized. ``ideal`` and ``nadir``: its best and worst value on the front, where known."""
    directions = {"minimize": DIRECTION_MINIMIZE, "maximize": DIRECTION_MAXIMIZE}
    if direction not in directions:
        raise ValueError(f"an objective is to 'minimize' or to 'maximize', not {direction!r}")
    return Variable(
        name=name,
        role=VARIABLE_ROLE_OBJECTIVE,
        value_type=_type_of(type),
        direction=directions[direction],
        unit=unit,
        description=description,
        ideal=ideal,
        nadir=nadir,
    )


def inequality_constraint(
    name: str,
    lower: float | None = None,
    upper: float | None = None,
    *,
    type: PythonType = float,
    unit: str = "",
    description: str = "",
) -> Variable:
    """A constraint that holds between its bounds; with neither bound, when its value is at most 0."""
    return Variable(
        name=name,
        role=VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
        value_type=_type_of(type),
        unit=unit,
        description=description,
        lower_bound=lower,
        upper_bound=upper,
    )


def equality_constraint(
    name: str,
    target: float | None = None,
    tolerance: float | None = None,
    *,
    type: PythonType = float,
    unit: str = "",
    description: str = "",
) -> Variable:
    """A constraint that holds within ``tolerance`` (1e-6 unless given) of ``target`` (0 unless given)."""
    return Variable(
        name=name,
        role=VARIABLE_ROLE_EQUALITY_CONSTRAINT,
        value_type=_type_of(type),
        unit=unit,
        description=description,
        target=target,
        tolerance=tolerance,
    )


def observable(name: str, *, type: PythonType = float, unit: str = "", description: str = "") -> Variable:
    """What is recorded beside the rest: a generation, a duration, a derived quantity."""
    return Variable(name=name, role=VARIABLE_ROLE_OBSERVABLE, value_type=_type_of(type), unit=unit, description=description)


def problem_of(problem: Problem | Iterable[Variable]) -> Problem:
    """A problem, or the one that has just these variables."""
    if isinstance(problem, Problem):
        return problem
    return Problem(variables=problem)


def _type_of(type_: PythonType) -> ValueType:
    if type_ not in _TYPES:
        raise TypeError(f"a variable is of type float, int, bool or str, not {type_!r}")
    return _TYPES[type_]
