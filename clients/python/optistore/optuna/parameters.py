"""Parameters of Optuna: which have a column, what stands in it, and how others are written as JSON."""

from __future__ import annotations

import json
import logging
import math
from typing import Any, TypeAlias

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from .._columns import INT64_MAX, INT64_MIN
from ..problem import design_variable
from ..v1.problem_pb2 import Variable

#: A value as a column has it.
Cell: TypeAlias = float | int | str
#: The text of a choice that has more bytes than this is better kept once than in every row.
CHOICE_BYTES_MAX = 1024

log = logging.getLogger("optistore.optuna")


class Parameter:
    """A parameter that has a column."""

    def __init__(self, column: str, name: str, distribution: BaseDistribution) -> None:
        self.column = column
        self.name = name
        self.distribution = distribution
        self._texts: dict[tuple[type, str], str] = {}
        self._choices: dict[str, Any] = {}
        if isinstance(distribution, CategoricalDistribution):
            for choice, text in zip(distribution.choices, choice_texts(distribution), strict=True):
                self._texts.setdefault(_identity(choice), text)
                self._choices.setdefault(text, plain_scalar(choice))

    def cell(self, value: Any, distribution: BaseDistribution) -> Cell | None:
        """What stands in the column; None where the value does not fit into it."""
        if type(distribution) is not type(self.distribution):
            return None
        if isinstance(distribution, CategoricalDistribution):
            return self._texts.get(_identity(value))
        if isinstance(distribution, IntDistribution):
            number = int(value)
            return number if INT64_MIN <= number <= INT64_MAX else None
        return float(value)

    def value(self, cell: Cell) -> Any:
        """The parameter's value again."""
        return self._choices[str(cell)] if self._choices else cell

    def variable(self) -> Variable:
        """The column. Its description has the exact distribution, and the parameter's own name."""
        description = json.dumps({"param": self.name, "distribution": distribution_json(self.distribution)})
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return design_variable(self.column, type=str, categories=[*self._choices], description=description)
        if not isinstance(distribution, (FloatDistribution, IntDistribution)):
            raise TypeError(f"no column has values of a {type(distribution).__name__}")
        kind = int if isinstance(distribution, IntDistribution) else float
        lower, upper = (None if math.isnan(end) else end for end in (distribution.low, distribution.high))
        return design_variable(self.column, lower, upper, type=kind, description=description)


def has_column(distribution: BaseDistribution) -> bool:
    """Whether values of a distribution are of a kind that a column can have."""
    if isinstance(distribution, CategoricalDistribution):
        choices = [plain_scalar(choice) for choice in distribution.choices]
        if not all(choice is None or isinstance(choice, (bool, int, float, str)) for choice in choices):
            return False
        try:
            return all(len(text.encode()) <= CHOICE_BYTES_MAX for text in choice_texts(distribution))
        except UnicodeEncodeError:
            return False
    if isinstance(distribution, IntDistribution):
        return distribution.low >= INT64_MIN and distribution.high <= INT64_MAX
    return isinstance(distribution, FloatDistribution)


def choice_texts(distribution: CategoricalDistribution) -> list[str]:
    """What stands for each choice: a string for itself, others as JSON; all as JSON where two would look alike."""
    choices = [plain_scalar(choice) for choice in distribution.choices]
    texts = [choice if isinstance(choice, str) else json.dumps(choice, default=repr) for choice in choices]
    if len(set(texts)) < len({_identity(choice) for choice in choices}):
        return [json.dumps(choice, default=repr) for choice in choices]
    return texts


def _identity(choice: Any) -> tuple[type, str]:
    """True, 1 and 1.0 are different choices, and NaN is itself."""
    choice = plain_scalar(choice)
    return (type(choice), repr(choice))


def plain_scalar(value: Any) -> Any:
    """A scalar of numpy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def distribution_json(distribution: BaseDistribution) -> dict[str, Any]:
    """A distribution as Optuna writes it. Choices that JSON has not are written as text, and told."""
    try:
        written = distribution_to_json(distribution)
    except (TypeError, ValueError):
        if not isinstance(distribution, CategoricalDistribution):
            raise
        choices = [json.loads(json_text(choice, "a choice")) for choice in distribution.choices]
        return {"name": "CategoricalDistribution", "attributes": {"choices": choices}}
    parsed: dict[str, Any] = json.loads(written)
    return parsed


def distribution_of(written: dict[str, Any]) -> BaseDistribution:
    """The distribution that ``distribution_json`` wrote."""
    return json_to_distribution(json.dumps(written))


def value_json(value: Any, distribution: BaseDistribution) -> Any:
    """A parameter's value beside its distribution: of a choice its position."""
    if not isinstance(distribution, CategoricalDistribution):
        return plain_scalar(value)
    identities = [_identity(choice) for choice in distribution.choices]
    if (identity := _identity(value)) in identities:
        return identities.index(identity)
    return int(distribution.to_internal_repr(value))


def value_of(written: Any, distribution: BaseDistribution) -> Any:
    """The value that ``value_json`` wrote."""
    return distribution.choices[written] if isinstance(distribution, CategoricalDistribution) else written


def json_text(value: Any, what: str) -> str:
    """JSON, in ASCII. What JSON has not is written as its repr, and told in the log: a study is not stopped for that."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        log.warning("%s can't be written as JSON, and is stored as the text of its repr: %s", what, error)
    try:
        return json.dumps(repr(value))
    except Exception:
        return json.dumps(f"<{type(value).__name__}>")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
