"""Studies of Optuna for tests, and how two of them are the same."""

from __future__ import annotations

import math
import struct
from typing import Any

import optistore
import optuna
from optistore.optuna import OptistoreCallback, load_study
from optuna.study import Study
from optuna.trial import FrozenTrial

optuna.logging.set_verbosity(optuna.logging.ERROR)


def new_study(seed: int = 1, **options: Any) -> Study:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed), **options)


def square(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", -1, 1) ** 2


def exactly(value: Any) -> Any:
    """Told apart by type and by every bit."""
    if isinstance(value, float):
        return ("float", "NaN" if math.isnan(value) else struct.pack("<d", value))
    if isinstance(value, dict):
        return {name: exactly(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [exactly(part) for part in value]
    return (type(value).__name__, value)


def facts(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "values": exactly(trial.values),
        "params": exactly(trial.params),
        "distributions": {name: repr(distribution) for name, distribution in trial.distributions.items()},
        "user_attrs": exactly(trial.user_attrs),
        "system_attrs": exactly(trial.system_attrs),
        "intermediate_values": exactly(trial.intermediate_values),
        "start": trial.datetime_start,
        "complete": trial.datetime_complete,
    }


def assert_same(study: Study, loaded: Study) -> None:
    assert [facts(trial) for trial in loaded.trials] == [facts(trial) for trial in study.trials]
    assert loaded.directions == study.directions
    assert loaded.metric_names == study.metric_names
    assert loaded.study_name == study.study_name


def stored(client: optistore.Client, key: str, study: Study) -> Study:
    with OptistoreCallback(client, key) as callback:
        callback.store(study)
    return load_study(client, key)
