"""Reads a run back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymoo.core.population import Population

from .._calls import RowRange
from .._columns import Array
from ..client import Client
from ..rows import Rows
from ..v1.problem_pb2 import (
    VARIABLE_ROLE_DESIGN_VARIABLE,
    VARIABLE_ROLE_EQUALITY_CONSTRAINT,
    VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
    VARIABLE_ROLE_OBJECTIVE,
)
from .layout import GENERATION, VALUES, Layout, plain


def load_population(
    client: Client,
    key: str,
    *,
    rows: RowRange | None = None,
    result_set: str | None = None,
    revision: int | None = None,
    problem: Any = None,
) -> Any:
    """Reads a run back as a ``Population`` of all its evaluations, in their order, or of some.

    Individuals have X, F, G, H, and ``n_gen``; they count as evaluated. Of runs of mixed variables X are dicts, in which
    choices are text unless the pymoo problem is given. ``result_set="optimum"`` gives the algorithm's result.
    """
    loaded = client.load(key, rows=rows, result_set=result_set, revision=revision)
    of_role = {role: [v.name for v in loaded.variables if v.role == role] for role in _ROLES.values()}
    layout = None if problem is None else Layout(problem, {})
    mixed = "mixed" if layout is None else layout.is_mixed
    population = Population.empty(len(loaded))
    columns = {name: np.ma.getdata(loaded[name]) for name in loaded}
    designs = _designs(columns, of_role[VARIABLE_ROLE_DESIGN_VARIABLE], loaded, layout, mixed)
    values = {letter: _matrix(columns, of_role[role], len(loaded)) for letter, role in _ROLES.items() if letter != "X"}
    for i, individual in enumerate(population):
        individual.X = designs[i]
        for letter, matrix in values.items():
            setattr(individual, letter, matrix[i])
        individual.evaluated.update(VALUES)
        if GENERATION in columns:
            individual.set("n_gen", int(columns[GENERATION][i]))
    return population


_ROLES = {
    "X": VARIABLE_ROLE_DESIGN_VARIABLE,
    "F": VARIABLE_ROLE_OBJECTIVE,
    "G": VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
    "H": VARIABLE_ROLE_EQUALITY_CONSTRAINT,
}


def _designs(columns: Mapping[str, Array], names: Sequence[str], loaded: Rows, layout: Layout | None, mixed: object) -> Any:
    kinds = {columns[name].dtype.kind for name in names}
    is_mixed = mixed is True or (mixed == "mixed" and len(kinds) > 1) or "O" in kinds
    if not is_mixed:
        return np.column_stack([columns[name] for name in names]) if names else np.empty((len(loaded), 0))
    options = {} if layout is None else layout.options
    return [
        {name: options.get(name, {}).get(columns[name][i], plain(columns[name][i])) for name in names}
        for i in range(len(loaded))
    ]


def _matrix(columns: Mapping[str, Array], names: Sequence[str], row_count: int) -> Array:
    return np.column_stack([columns[name] for name in names]) if names else np.empty((row_count, 0))
