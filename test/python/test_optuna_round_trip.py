"""What the plug-in for Optuna promises of whatever a study may hold: it comes back, bit for bit."""

from __future__ import annotations

import datetime
import math
import uuid
from typing import Any, Literal

import numpy as np
import optistore
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optistore.optuna import OptistoreCallback, load_study
from optistore.v1.problem_pb2 import VARIABLE_ROLE_DESIGN_VARIABLE
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from optuna_studies import assert_same, new_study, square, stored

# Optuna rounds the end of a range to its steps.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    "choices",
    [
        ["a", "b", ""], [True, False], [16, 32, 64], [0.1, math.inf, -0.0], [None, "a"],
        [None, True, 1, 1.0, "1", "true", "null"],
        [math.nan, "NaN"], ["half \ud800", "x"], ["long" * 1000, "short"],
    ],
)  # fmt: skip
def test_choices_of_every_type_come_back_as_they_are(client: optistore.Client, key: str, choices: list[Any]) -> None:
    distribution = CategoricalDistribution(choices)
    study = new_study()
    for i, choice in enumerate(choices):
        trial = optuna.create_trial(params={"c": choice}, distributions={"c": distribution}, value=float(i))
        study.add_trial(trial)
    assert_same(study, stored(client, key, study))


def test_names_that_no_column_may_have_come_back_as_they_are(client: optistore.Client, key: str) -> None:
    names = ["number", "value", "state", "optuna", "params_value", "tab\t", "", "é" * 300, "\ud800"]

    def objective(trial: optuna.Trial) -> float:
        trial.set_constraint("value", -1.0)
        trial.set_constraint("state", 0.5)
        return sum(trial.suggest_float(name, 0, 1) for name in names)

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=3, callbacks=[callback])
    assert len([v for v in client.get(key).problem.variables if v.role == VARIABLE_ROLE_DESIGN_VARIABLE]) == len(names)
    assert_same(study, load_study(client, key))


def test_attributes_of_any_size_and_kind_are_kept(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        x = square(trial)
        trial.set_user_attr("ünïcode", "\N{SNOWMAN} \ud800")
        trial.set_user_attr("nested", {"a": [1, 2.5, None, True, {"b": "c"}], "inf": math.inf})
        if trial.number == 1:
            trial.set_user_attr("large", "\N{SNOWMAN}" * 100_000)
        return x

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=3, callbacks=[callback])
    result = client.get(key)
    assert result.row_count > 3, "a trial of more than a string's 64 KiB has several rows"
    assert_same(study, load_study(client, key))


def test_what_json_has_not_is_kept_as_text_told_and_stops_no_study(
    client: optistore.Client, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("array", np.array([1.5, 2.5]))
        trial.set_user_attr("integer", np.int64(7))
        trial.set_user_attr("set", {1})
        loop: list[Any] = []
        loop.append(loop)
        trial.set_user_attr("loop", loop)
        return square(trial)

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=1, callbacks=[callback])
    assert load_study(client, key).trials[0].user_attrs == {"array": [1.5, 2.5], "integer": 7, "set": "{1}", "loop": "[[...]]"}
    assert "user_attrs['set'] of trial 0" in caplog.text


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def parameters(draw: st.DrawFn) -> tuple[BaseDistribution, st.SearchStrategy[Any]]:
    """A distribution, and its values."""
    kind = draw(st.sampled_from(["float", "log", "step", "int", "int log", "int step", "categorical"]))
    if kind in ("float", "log"):
        positive = st.floats(min_value=5e-324, allow_infinity=False)
        low, high = sorted(draw(st.tuples(*[FLOATS if kind == "float" else positive] * 2)))
        return FloatDistribution(low, high, log=kind == "log"), st.floats(min_value=low, max_value=high)
    if kind == "step":
        step, count = draw(st.sampled_from([0.1, 0.25, 3.0])), draw(st.integers(1, 50))
        stepped = FloatDistribution(0, count * step, step=step)
        return stepped, st.integers(0, count).map(lambda k: min(k * step, stepped.high))
    if kind in ("int", "int log"):
        lowest = -(2**53) if kind == "int" else 1
        low, high = sorted(draw(st.tuples(*[st.integers(lowest, 2**53)] * 2)))
        return IntDistribution(low, high, log=kind == "int log"), st.integers(low, high)
    if kind == "int step":
        low, step, count = draw(st.integers(-100, 100)), draw(st.integers(1, 7)), draw(st.integers(0, 9))
        return IntDistribution(low, low + count * step, step=step), st.integers(0, count).map(lambda k: low + k * step)
    choice = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    choices = draw(st.lists(choice, min_size=1, max_size=5))
    return CategoricalDistribution(choices), st.sampled_from(choices)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """A study of trials as Optuna itself would let them in."""
    ways: list[Literal["minimize", "maximize"]] = ["minimize", "maximize"]
    study = optuna.create_study(directions=draw(st.lists(st.sampled_from(ways), min_size=1, max_size=3)))
    space = draw(st.dictionaries(NAMES, parameters(), max_size=4))
    value = st.floats(allow_nan=False)
    count = len(study.directions)
    for number in range(draw(st.integers(1, 6))):
        state = draw(st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]))
        names = draw(st.sets(st.sampled_from(sorted(space)))) if space else set()
        has_values = state == TrialState.COMPLETE or (state == TrialState.PRUNED and draw(st.booleans()))
        system_attrs: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["a", "fixed_params"]), JSON))
        if draw(st.booleans()):
            system_attrs["constraints"] = draw(st.lists(value | st.integers(-3, 3), max_size=3))
        system_attrs |= draw(st.dictionaries(NAMES.map(lambda name: f"constraints:{name}"), value, max_size=2))
        started = draw(st.datetimes())
        trial = FrozenTrial(
            number=number,
            trial_id=number,
            state=state,
            value=None,
            values=draw(st.lists(value, min_size=count, max_size=count)) if has_values else None,
            datetime_start=started,
            datetime_complete=started + datetime.timedelta(seconds=1) if started.year < 9999 else started,
            params={name: draw(space[name][1]) for name in names},
            distributions={name: space[name][0] for name in names},
            user_attrs=draw(st.dictionaries(NAMES, JSON, max_size=3)),
            system_attrs=system_attrs,
            intermediate_values=draw(st.dictionaries(st.integers(0, 1000), st.floats(), max_size=3)),
        )
        study.add_trial(trial)
    return study


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(study=studies())
def test_whatever_a_study_has_comes_back_bit_for_bit(client: optistore.Client, study: Study) -> None:
    key = f"optuna/any/{uuid.uuid4()}"
    assert_same(study, stored(client, key, study))
    client.delete(key)
