"""Trials of Optuna as rows, and rows as the very trials again."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .._columns import STRING_BYTES_MAX
from ..problem import inequality_constraint, objective, observable
from ..rows import Rows
from ..v1.problem_pb2 import (
    DIRECTION_MAXIMIZE,
    VARIABLE_ROLE_DESIGN_VARIABLE,
    VARIABLE_ROLE_INEQUALITY_CONSTRAINT,
    VARIABLE_ROLE_OBJECTIVE,
    Problem,
    Variable,
)
from .parameters import (
    CHOICE_BYTES_MAX,
    Parameter,
    distribution_json,
    distribution_of,
    has_column,
    json_text,
    value_json,
    value_of,
)

NUMBER, STATE, STARTED, COMPLETED, MORE = "number", "state", "datetime_start", "datetime_complete", "optuna"
#: Columns may take so much of a problem, and texts of choices of a row; other parameters are kept as JSON.
PROBLEM_BYTES_MAX = 512 * 1024
TEXT_BYTES_MAX = 512 * 1024
#: Where samplers put what their ``constraints_func`` gave; behind a colon, what ``set_constraint`` named.
CONSTRAINTS = "constraints"


def fixed_columns() -> list[Variable]:
    """What every trial has."""
    return [
        observable(NUMBER, type=int, description="number of the trial"),
        observable(STATE, type=str, description="COMPLETE, PRUNED or FAIL; absent: the row goes on with the one before"),
        observable(STARTED, type=str, description="local time, ISO 8601"),
        observable(COMPLETED, type=str, description="local time, ISO 8601"),
        observable(MORE, type=str, description="JSON: all of the trial that has no column"),
    ]


class TrialColumns:
    """Which columns the trials of a study have. All of it is in the problem, so that a save is gone on with, or read."""

    def __init__(self, problem: Problem) -> None:
        """ValueError where the problem is not one that ``problem_of`` made."""
        self.problem = problem
        self.parameters: dict[str, Parameter] = {}
        self.objectives: list[Variable] = []
        self.constraints: dict[int | str, str] = {}
        names = {variable.name for variable in problem.variables}
        if not names >= {NUMBER, STATE, STARTED, COMPLETED, MORE}:
            raise ValueError("its rows are not trials of Optuna, as OptistoreCallback stores them")
        for variable in problem.variables:
            if variable.role == VARIABLE_ROLE_OBJECTIVE:
                self.objectives.append(variable)
            elif variable.role == VARIABLE_ROLE_DESIGN_VARIABLE:
                said = json.loads(variable.description)
                distribution = distribution_of(said["distribution"])
                self.parameters[said["param"]] = Parameter(variable.name, said["param"], distribution)
            elif variable.role == VARIABLE_ROLE_INEQUALITY_CONSTRAINT:
                self.constraints[json.loads(variable.description)["constraint"]] = variable.name
        self._listed = sum(isinstance(key, int) for key in self.constraints)
        self._empty: dict[str, Any] = {variable.name: None for variable in problem.variables}

    @property
    def directions(self) -> list[StudyDirection]:
        """Of the study."""
        maximize, minimize = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
        return [maximize if variable.direction == DIRECTION_MAXIMIZE else minimize for variable in self.objectives]

    @property
    def metric_names(self) -> list[str] | None:
        """Of the study, where it has some."""
        names = [json.loads(v.description)["metric"] for v in self.objectives if v.description]
        return names if names and len(names) == len(self.objectives) else None

    def rows_of(self, trial: FrozenTrial) -> list[dict[str, Any]]:
        """One row; more, which hold nothing but the rest of the JSON, where that is longer than a string may be."""
        row = dict(self._empty)
        row[NUMBER] = trial.number
        row[STATE] = trial.state.name
        row[STARTED] = None if trial.datetime_start is None else trial.datetime_start.isoformat()
        row[COMPLETED] = None if trial.datetime_complete is None else trial.datetime_complete.isoformat()
        if trial.values is not None:
            for variable, value in zip(self.objectives, trial.values, strict=True):
                row[variable.name] = float(value)
        more: dict[str, dict[str, str]] = {}
        self._put_params(trial, row, more)
        system_attrs = self._put_constraints(trial.system_attrs, row)
        for name, attrs in (("user_attrs", trial.user_attrs), ("system_attrs", system_attrs)):
            if attrs:
                more[name] = {key: json_text(value, f"{name}[{key!r}] of trial {trial.number}") for key, value in attrs.items()}
        text = _object({name: _object(parts) for name, parts in more.items()}) if more else ""
        if trial.intermediate_values:
            reported = json.dumps([[int(step), float(value)] for step, value in trial.intermediate_values.items()])
            text = f'{text[:-1] + ", " if text else "{"}"intermediate_values": {reported}}}'
        if not text:
            return [row]
        pieces = [text[at : at + STRING_BYTES_MAX] for at in range(0, len(text), STRING_BYTES_MAX)]
        row[MORE] = pieces[0]
        return [row, *({**self._empty, NUMBER: trial.number, MORE: piece} for piece in pieces[1:])]

    def _put_params(self, trial: FrozenTrial, row: dict[str, Any], more: dict[str, dict[str, str]]) -> None:
        for name, value in trial.params.items():
            distribution = trial.distributions[name]
            parameter = self.parameters.get(name)
            cell = None if parameter is None else parameter.cell(value, distribution)
            if parameter is not None and cell is not None:
                row[parameter.column] = cell
                if distribution == parameter.distribution:
                    continue
            else:
                written = json_text(value_json(value, distribution), f"parameter {name!r} of trial {trial.number}")
                more.setdefault("params", {})[name] = written
            more.setdefault("distributions", {})[name] = json.dumps(distribution_json(distribution))

    def _put_constraints(self, system_attrs: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        """Gives the attributes that the columns of constraints do not have, exactly."""
        left = dict(system_attrs)
        exact = 0
        for key, value in constraints_in(system_attrs):
            column = self.constraints.get(key)
            if column is None:
                continue
            row[column] = float(value)
            if not isinstance(value, float):
                continue
            if isinstance(key, str):
                del left[f"{CONSTRAINTS}:{key}"]
            else:
                exact += 1
        if exact and exact == self._listed == len(system_attrs[CONSTRAINTS]):
            del left[CONSTRAINTS]
        return left

    def trial_of(self, row: Mapping[str, Any], text: str) -> FrozenTrial:
        """The trial that ``rows_of`` made a row of, with the whole of its JSON."""
        more = json.loads(text) if text else {}
        distributions = {name: distribution_of(written) for name, written in more.get("distributions", {}).items()}
        params = {name: value_of(written, distributions[name]) for name, written in more.get("params", {}).items()}
        for name, parameter in self.parameters.items():
            if (cell := row[parameter.column]) is not None:
                params[name] = parameter.value(cell)
                distributions.setdefault(name, parameter.distribution)
        values = [row[variable.name] for variable in self.objectives]
        return FrozenTrial(
            number=row[NUMBER],
            state=TrialState[row[STATE]],
            value=None,
            values=None if None in values else values,
            datetime_start=_time_of(row[STARTED]),
            datetime_complete=_time_of(row[COMPLETED]),
            params=params,
            distributions=distributions,
            user_attrs=more.get("user_attrs", {}),
            system_attrs=self._system_attrs(row, more.get("system_attrs", {})),
            intermediate_values={step: value for step, value in more.get("intermediate_values", [])},
            trial_id=row[NUMBER],
        )

    def _system_attrs(self, row: Mapping[str, Any], system_attrs: dict[str, Any]) -> dict[str, Any]:
        listed = []
        for key, column in self.constraints.items():
            if (value := row[column]) is None:
                continue
            if isinstance(key, int):
                listed.append(value)
            else:
                system_attrs.setdefault(f"{CONSTRAINTS}:{key}", value)
        if listed:
            system_attrs.setdefault(CONSTRAINTS, listed)
        return system_attrs


def problem_of(
    study_name: str,
    solver: str,
    directions: Sequence[StudyDirection],
    metric_names: Sequence[str] | None,
    space: Mapping[str, BaseDistribution],
    constraints: Iterable[int | str],
) -> Problem:
    """The columns of a study: its parameters as far as there is room, objectives, constraints, and what every trial has."""
    fixed = fixed_columns()
    taken = {variable.name for variable in fixed}
    default = ["value"] if len(directions) == 1 else [f"value_{i}" for i in range(len(directions))]
    targets: list[Variable] = []
    for name, direction in zip(metric_names or default, directions, strict=True):
        description = json.dumps({"metric": name}) if metric_names else ""
        way: Literal["maximize", "minimize"] = "maximize" if direction == StudyDirection.MAXIMIZE else "minimize"
        targets.append(objective(_free_name(name, "value", taken), way, description=description))
    room, text_room = PROBLEM_BYTES_MAX, TEXT_BYTES_MAX
    parameters: list[Variable] = []
    for name, distribution in space.items():
        if has_column(distribution):
            variable = Parameter(_free_name(name, "params", taken), name, distribution).variable()
            room -= variable.ByteSize() + 8
            text_room -= CHOICE_BYTES_MAX if variable.categories else 0
            if room < 0 or text_room < 0:
                break
            parameters.append(variable)
    held: list[Variable] = []
    for key in constraints:
        column = _free_name(f"constraint_{key}" if isinstance(key, int) else key, CONSTRAINTS, taken)
        held.append(inequality_constraint(column, description=json.dumps({"constraint": key})))
    name = study_name.encode(errors="replace")[:1024].decode(errors="ignore")
    return Problem(name=name, solver=solver, variables=[*parameters, *targets, *held, *fixed])


def constraints_in(system_attrs: Mapping[str, Any]) -> Iterator[tuple[int | str, float]]:
    """The constraints of a trial, by position or name."""
    listed = system_attrs.get(CONSTRAINTS)
    for key, value in enumerate(listed) if isinstance(listed, (list, tuple)) else ():
        if _is_number(value):
            yield key, value
    for name, value in system_attrs.items():
        if name.startswith(f"{CONSTRAINTS}:") and _is_number(value):
            yield name[len(CONSTRAINTS) + 1 :], value


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return abs(value) <= sys.float_info.max
    return isinstance(value, (float, np.integer, np.floating))


def _free_name(wanted: str, prefix: str, taken: set[str]) -> str:
    """A name that a column may have, and none has yet."""
    name = "".join("_" if unicodedata.category(c) in ("Cc", "Cs") else c for c in wanted)
    name = name.encode()[:200].decode(errors="ignore") or prefix
    if name in taken:
        name = f"{prefix}_{name}"
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _object(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {written}" for name, written in parts.items()) + "}"


def _time_of(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class TrialReader:
    """Makes trials of rows, batch by batch."""

    def __init__(self, columns: TrialColumns) -> None:
        self._columns = columns
        self._trials: dict[int, FrozenTrial] = {}
        self._row: dict[str, Any] | None = None
        self._pieces: list[str] = []
        self._first_row = 0
        #: Where each trial begins, by number.
        self.rows: dict[int, int] = {}
        self.row_count = 0

    def add(self, rows: Rows) -> None:
        """Takes the next rows in."""
        names = rows.keys()
        for i, cells in enumerate(zip(*(rows[name].tolist() for name in names), strict=True)):
            row = dict(zip(names, cells, strict=True))
            if row[STATE] is not None:
                self._end_record()
                self._row, self._pieces, self._first_row = row, [], rows.first_row + i
            if row[MORE] is not None:
                self._pieces.append(row[MORE])
        self.row_count += len(rows)

    def trials(self) -> list[FrozenTrial]:
        """All that are whole, by number. Of one that was stored twice, the later."""
        self._end_record()
        return [self._trials[number] for number in sorted(self._trials)]

    def _end_record(self) -> None:
        row, self._row = self._row, None
        if row is None:
            return
        try:
            self._trials[row[NUMBER]] = self._columns.trial_of(row, "".join(self._pieces))
            self.rows[row[NUMBER]] = self._first_row
        except json.JSONDecodeError:
            # The solver was killed between the rows of a long trial: it is stored again when the study goes on.
            return
