"""Which column each part of an individual is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.variable import Binary, Choice, Integer

from ..problem import design_variable, equality_constraint, inequality_constraint, objective, observable
from ..v1.problem_pb2 import Variable

GENERATION = "generation"
FEASIBLE = "feasible"
#: What is evaluated of an individual.
VALUES = ("F", "G", "H")


class Layout:
    """Which column each part of an individual is."""

    def __init__(self, problem: Any, names: Mapping[str, Sequence[str]]) -> None:
        explicit = getattr(problem, "vars", None)
        letters = ("F", "G", "H") if explicit is not None else ("X", "F", "G", "H")
        if unknown := [letter for letter in names if letter not in letters]:
            raise ValueError(f"names are of {', '.join(letters)}, not of {unknown[0]!r}")
        self.is_mixed = explicit is not None
        #: Of variables that are chosen: the choices by their text.
        self.options: dict[str, dict[str, Any]] = {}
        if explicit is not None:
            designs = [self._explicit(name, variable) for name, variable in explicit.items()]
        else:
            designs = _plain_designs(problem, _names(names, "X", problem.n_var))
        eq_tolerance = float(Individual.default_config()["cv_eq"]["eps"])
        self.x = [variable.name for variable in designs]
        self.f = _names(names, "F", problem.n_obj)
        self.g = _names(names, "G", problem.n_ieq_constr)
        self.h = _names(names, "H", problem.n_eq_constr)
        self.variables: list[Variable] = [
            observable(GENERATION, type=int, description="generation of the algorithm, from 1"),
            *designs,
            *(objective(name) for name in self.f),
            *(inequality_constraint(name) for name in self.g),
            *(equality_constraint(name, tolerance=eq_tolerance) for name in self.h),
            observable(FEASIBLE, type=bool, description="whether pymoo takes it for feasible"),
        ]

    def _explicit(self, name: str, variable: Any) -> Variable:
        if isinstance(variable, Choice):
            self.options[name] = {str(option): option for option in variable.options}
            if len(self.options[name]) < len(variable.options):
                raise ValueError(f'options of "{name}" have the same text, by which they are stored: {variable.options!r}')
            return design_variable(name, type=str, categories=list(self.options[name]))
        if isinstance(variable, Binary):
            return design_variable(name, type=bool)
        kind: type[int] | type[float] = int if isinstance(variable, Integer) else float
        return design_variable(name, _bound(variable.lb), _bound(variable.ub), type=kind)

    def columns(self, population: Any, generation: int | None) -> dict[str, Any]:
        """The rows of individuals that are evaluated."""
        columns: dict[str, Any] = {GENERATION: np.full(len(population), generation or 1)}
        columns |= self.designs(population)
        for names, letter in ((self.f, "F"), (self.g, "G"), (self.h, "H")):
            if names:
                values = np.asarray(population.get(letter), float).reshape(len(population), len(names))
                columns |= {name: values[:, i] for i, name in enumerate(names)}
        columns[FEASIBLE] = np.asarray(population.get("feas"), bool).reshape(len(population))
        return columns

    def designs(self, population: Any) -> dict[str, Any]:
        """The design variables of individuals."""
        designs = [individual.X for individual in population]
        if self.is_mixed:
            return {name: [str(x[name]) if name in self.options else plain(x[name]) for x in designs] for name in self.x}
        table = np.array(designs).reshape(len(designs), len(self.x))
        return {name: table[:, i] for i, name in enumerate(self.x)}


def _plain_designs(problem: Any, names: Sequence[str]) -> list[Variable]:
    kinds: dict[Any, Any] = {int: int, bool: bool}
    kind = kinds.get(problem.vtype, float)
    lower = [None] * len(names) if problem.xl is None else list(problem.xl)
    upper = [None] * len(names) if problem.xu is None else list(problem.xu)
    return [
        design_variable(name, _bound(low), _bound(high), type=kind) for name, low, high in zip(names, lower, upper, strict=True)
    ]


def _names(given: Mapping[str, Sequence[str]], letter: str, count: int) -> list[str]:
    names = list(given.get(letter, [f"{letter.lower()}{i + 1}" for i in range(count)]))
    if len(names) != count:
        raise ValueError(f"the problem has {count} of {letter}, but {len(names)} names were given: {names}")
    return names


def _bound(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value
