"""What optistore.optuna promises. Address of the daemon: OPTISTORE_SERVER."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

import optistore
from optistore.optuna import OptistoreCallback, load_study, resume_study
from optistore.v1.problem_pb2 import VARIABLE_ROLE_DESIGN_VARIABLE, VARIABLE_ROLE_INEQUALITY_CONSTRAINT
from optistore.v1.result_pb2 import OUTCOME_FINISHED, OUTCOME_STOPPED

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


@pytest.fixture(scope="module")
def client() -> Iterator[optistore.Client]:
    with optistore.connect(os.environ["OPTISTORE_SERVER"]) as client:
        yield client


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return a_key(request.node.name)


def a_key(name: str = "any") -> str:
    return f"optuna/{re.sub(r'[^a-z_]', '-', name)}/{uuid.uuid4()}"


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


def test_a_study_comes_back_trial_by_trial(client: optistore.Client, key: str) -> None:
    study = new_study(study_name="squares")
    with OptistoreCallback(client, key, tags={"team": "a"}, description="squares of x") as callback:
        study.optimize(square, n_trials=30, callbacks=[callback])
        assert callback.trial_count == 30
    loaded = load_study(client, key)
    assert_same(study, loaded)
    assert loaded.best_trial.number == study.best_trial.number
    result = client.get(key)
    assert (result.row_count, result.outcome, result.tags["team"]) == (30, OUTCOME_FINISHED, "a")
    assert result.problem.name == "squares"
    assert result.problem.solver == f"Optuna {optuna.__version__} RandomSampler"


def test_parameters_and_objectives_are_columns_with_bounds_and_directions(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
        layers = trial.suggest_int("layers", 1, 8)
        kind = trial.suggest_categorical("kind", ["adam", "sgd"])
        return rate * layers, len(kind)

    study = new_study(directions=["minimize", "maximize"])
    study.set_metric_names(["loss", "length"])
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=20, callbacks=[callback])
    assert_same(study, load_study(client, key))
    rows = client.load(key)
    assert list(rows) == [
        "rate", "layers", "kind", "loss", "length", "number", "state", "datetime_start", "datetime_complete", "optuna",
    ]  # fmt: skip
    assert (rows.variables[0].lower_bound, rows.variables[0].upper_bound) == (1e-5, 1e-1)
    assert list(rows.variables[2].categories) == ["adam", "sgd"]
    assert rows["rate"].tolist() == [trial.params["rate"] for trial in study.trials]
    assert rows["layers"].dtype == np.int64
    assert set(rows["state"]) == {"COMPLETE"}
    best = {column.name: column.best for column in rows.result.columns if column.HasField("best")}
    assert best == {"loss": min(t.values[0] for t in study.trials), "length": max(t.values[1] for t in study.trials)}


@pytest.mark.parametrize(("count", "names"), [(1, ["value"]), (3, ["value_0", "value_1", "value_2"])])
def test_objectives_without_names_are_numbered(client: optistore.Client, key: str, count: int, names: list[str]) -> None:
    study = new_study(directions=["minimize"] * count)
    with OptistoreCallback(client, key) as callback:
        study.optimize(lambda trial: [square(trial)] * count, n_trials=2, callbacks=[callback])
    assert [name for name in client.load(key) if name.startswith("value")] == names
    assert load_study(client, key).metric_names is None


def test_pruned_and_failed_trials_come_back_with_what_they_reported(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number in (0, 6):
            raise ValueError("broken")
        x = square(trial)
        for step in range(3):
            trial.report(math.nan if trial.number == 4 else x + step, step)
            if trial.number in (1, 4) and step == 1:
                raise optuna.TrialPruned
        return math.nan if trial.number == 5 else x

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=8, callbacks=[callback], catch=(ValueError,))
    states = [trial.state for trial in study.trials]
    assert {TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE} == set(states)
    assert_same(study, load_study(client, key))
    values = client.load(key)["value"]
    assert [value is not None for value in values.tolist()] == [trial.values is not None for trial in study.trials]


def test_a_first_trial_that_failed_early_costs_no_parameter_its_column(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if trial.number < 2:
            raise optuna.TrialPruned
        return x + trial.suggest_float("y", 0, 1)

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=5, callbacks=[callback])
    assert {"x", "y"} <= set(client.load(key))
    assert_same(study, load_study(client, key))


def test_a_study_without_a_complete_trial_is_kept_as_well(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        raise optuna.TrialPruned

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=3, callbacks=[callback])
    assert_same(study, load_study(client, key))


def test_parameters_that_appear_later_are_kept_and_come_back(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, trial.number + 1)  # a range that moves
        if trial.number % 2:
            return x + trial.suggest_int("late", 1, 64, log=True)
        return x * len(trial.suggest_categorical("way", ["a", "bb"]))

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=10, callbacks=[callback])
    rows = client.load(key)
    assert "late" not in rows
    assert rows["way"].tolist()[1] is None
    assert_same(study, load_study(client, key))


def test_a_space_names_the_columns_before_the_first_trial(client: optistore.Client, key: str) -> None:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(-1, 1), "late": IntDistribution(0, 9, step=3)}

    def objective(trial: optuna.Trial) -> float:
        return square(trial) + (trial.suggest_int("late", 0, 9, step=3) if trial.number > 1 else 0)

    study = new_study()
    with OptistoreCallback(client, key, space=space, metric_names=["cost"]) as callback:
        study.optimize(objective, n_trials=4, callbacks=[callback])
    rows = client.load(key)
    assert rows["late"].tolist() == [trial.params.get("late") for trial in study.trials]
    assert rows["cost"].tolist() == [trial.value for trial in study.trials]
    loaded = load_study(client, key)
    assert loaded.metric_names == ["cost"]
    assert [facts(trial) for trial in loaded.trials] == [facts(trial) for trial in study.trials]


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


def test_constraints_are_columns_that_decide_what_is_feasible(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        if trial.number == 3:
            raise optuna.TrialPruned
        x = trial.suggest_float("x", 0, 1)
        y = trial.suggest_float("y", 0, 1)
        trial.set_user_attr("gap", x - y)
        trial.set_constraint("budget", x + y - 1.5)
        return x, y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.NSGAIISampler(
            seed=1, population_size=5, constraints_func=lambda trial: (trial.user_attrs.get("gap", 1.0), 0)
        )
    study = optuna.create_study(sampler=sampler, directions=["minimize", "maximize"])
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=20, callbacks=[callback])
    rows = client.load(key)
    held = [v.name for v in rows.variables if v.role == VARIABLE_ROLE_INEQUALITY_CONSTRAINT]
    assert held == ["constraint_0", "constraint_1", "budget"]
    assert rows["constraint_0"].tolist() == [trial.user_attrs.get("gap", 1.0) for trial in study.trials]
    loaded = load_study(client, key)
    assert_same(study, loaded)
    assert [t.number for t in loaded.best_trials] == [t.number for t in study.best_trials]


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


def test_an_enqueued_value_out_of_its_range_comes_back(client: optistore.Client, key: str) -> None:
    study = new_study()
    study.enqueue_trial({"x": 7.5})
    with warnings.catch_warnings(), OptistoreCallback(client, key) as callback:
        warnings.simplefilter("ignore")
        study.optimize(square, n_trials=3, callbacks=[callback])
    assert study.trials[0].params == {"x": 7.5}
    assert_same(study, load_study(client, key))


def test_a_trial_is_durable_when_its_flush_returned(client: optistore.Client, key: str) -> None:
    study = new_study()
    seen = []

    def objective(trial: optuna.Trial) -> float:
        uploads = list(client.list_uploads(key))
        seen.append(uploads[0].durable_row_count if uploads else 0)
        return square(trial)

    with OptistoreCallback(client, key, flush_every_trial=True) as callback:
        study.optimize(objective, n_trials=5, callbacks=[callback])
    assert seen == [0, 1, 2, 3, 4]


def test_threads_share_a_callback(client: optistore.Client, key: str) -> None:
    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(square, n_trials=200, n_jobs=2, callbacks=[callback])
    assert len(study.trials) == 200
    assert sorted(client.load(key)["number"].tolist()) == list(range(200))
    assert_same(study, load_study(client, key))


def test_threads_that_flush_each_trial_share_a_callback(client: optistore.Client, key: str) -> None:
    study = new_study()
    with OptistoreCallback(client, key, flush_every_trial=True) as callback:
        study.optimize(square, n_trials=40, n_jobs=4, callbacks=[callback])
    assert_same(study, load_study(client, key))


def test_trials_from_before_are_stored_with_the_first_that_comes(client: optistore.Client, key: str) -> None:
    study = new_study()
    study.optimize(square, n_trials=5)
    with OptistoreCallback(client, key) as callback:
        study.optimize(square, n_trials=1, callbacks=[callback])
        assert callback.trial_count == 6
    assert_same(study, load_study(client, key))


def test_a_study_that_was_optimized_before_can_be_stored_at_once(client: optistore.Client, key: str) -> None:
    study = new_study()
    study.optimize(square, n_trials=5)
    assert_same(study, stored(client, key, study))


def test_a_failed_trial_that_ends_the_study_is_stored_and_the_save_left_open(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 3:
            raise ZeroDivisionError
        return square(trial)

    study = new_study()
    with pytest.raises(ZeroDivisionError) as raised, OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=10, callbacks=[callback])
    if sys.version_info >= (3, 11):
        assert "4 trials are safe" in raised.value.__notes__[0]
    (upload,) = client.list_uploads(key)
    assert upload.durable_row_count == 4
    assert_same(study, load_study(client, key, upload_id=upload.upload_id))
    with pytest.raises(optistore.OptistoreError):
        client.get(key)


def test_ctrl_c_leaves_the_save_open_and_it_can_be_committed_as_stopped(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 3:
            raise KeyboardInterrupt
        return square(trial)

    study = new_study()
    callback = OptistoreCallback(client, key)
    with pytest.raises(KeyboardInterrupt), callback:
        study.optimize(objective, n_trials=10, callbacks=[callback])
    assert len(list(client.list_uploads(key))) == 1
    result = callback.commit("stopped")
    assert (result.outcome, result.row_count) == (OUTCOME_STOPPED, 4)
    assert callback.commit("stopped").revision == result.revision
    callback.close()
    assert_same(study, load_study(client, key))


def test_a_callback_that_is_used_after_its_commit_makes_a_result_of_all_trials(client: optistore.Client, key: str) -> None:
    study = new_study()
    callback = OptistoreCallback(client, key)
    with callback:
        study.optimize(square, n_trials=3, callbacks=[callback])
    first = client.get(key)
    with callback:
        study.optimize(square, n_trials=3, callbacks=[callback])
        callback.commit()
        study.optimize(square, n_trials=1, callbacks=[callback])
    assert client.get(key).revision > first.revision
    assert_same(study, load_study(client, key))


def test_a_block_in_which_no_trial_finished_commits_nothing(client: optistore.Client, key: str) -> None:
    with OptistoreCallback(client, key) as callback:
        pass
    with pytest.raises(ValueError, match="no trial has finished"):
        callback.commit()
    with pytest.raises(optistore.OptistoreError):
        client.get(key)


KILLED = """
import os, sys, time
import optuna, optistore
from optistore.optuna import OptistoreCallback, resume_study
key, storage, jobs = sys.argv[1], sys.argv[2] or None, int(sys.argv[3])
optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    trial.set_user_attr("pid", os.getpid())
    time.sleep(0.01 * (1 + trial.number % 3))
    print(trial.number, flush=True)
    return x**2

study = optuna.create_study(study_name=key, storage=storage)
with optistore.connect() as client, OptistoreCallback(client, key) as callback:
    study.optimize(objective, n_trials=100_000, n_jobs=jobs, callbacks=[callback])
"""


def killed_in_the_middle(key: str, storage: str = "", jobs: int = 1, trials: int = 30) -> None:
    """Runs a study in a process that is killed without warning."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, key, storage, str(jobs)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(trials):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def once_let_go(client: optistore.Client, key: str) -> optistore.v1.storage_service_pb2.Upload:
    """The save of a process that was killed, when the daemon has noticed."""
    until = time.monotonic() + 20
    while (upload := next(iter(client.list_uploads(key)))).has_stream:
        assert time.monotonic() < until
        time.sleep(0.05)
    return upload


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_study_in_memory_that_was_killed_is_gone_on_with(client: optistore.Client, key: str, jobs: int) -> None:
    killed_in_the_middle(key, jobs=jobs)
    upload = once_let_go(client, key)
    assert upload.durable_row_count >= 30 - jobs - 10, "acks lag 50 ms"
    study, callback = resume_study(client, key, sampler=optuna.samplers.RandomSampler(seed=5))
    assert study.study_name == key
    kept = [trial for trial in study.trials if "pid" in trial.user_attrs]
    assert len(kept) == callback.trial_count >= upload.durable_row_count
    assert {t.number for t in study.trials if t not in kept} == {
        t.number for t in study.trials if t.system_attrs.get("optistore:lost") and t.state == TrialState.FAIL
    }
    before = len(study.trials)
    with callback:
        study.optimize(square, n_trials=10, callbacks=[callback])
    assert len(study.trials) == before + 10
    loaded = load_study(client, key)
    assert_same(study, loaded)
    assert [facts(t) for t in loaded.trials if "pid" in t.user_attrs] == [facts(t) for t in kept]
    assert sorted(client.load(key)["number"].tolist()) == list(range(before + 10)), "none is stored twice"
    assert not list(client.list_uploads(key))


def test_a_study_in_a_database_that_was_killed_goes_on_and_no_trial_is_stored_twice(
    client: optistore.Client, key: str, tmp_path: Path
) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    killed_in_the_middle(key, storage=storage, trials=15)
    once_let_go(client, key)
    study = optuna.load_study(study_name=key, storage=storage)
    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
    with OptistoreCallback(client, key) as callback:
        study.optimize(square, n_trials=5, callbacks=[callback])
    assert_same(study, load_study(client, key))
    assert client.get(key).row_count == len(study.trials)


def test_another_study_under_a_key_in_progress_is_not_mixed_with_it(
    client: optistore.Client, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = new_study()
    callback = OptistoreCallback(client, key)
    first.optimize(square, n_trials=5, callbacks=[callback])
    callback.close()
    (upload,) = client.list_uploads(key)
    second = new_study(study_name=first.study_name)
    with OptistoreCallback(client, key) as callback:
        second.optimize(square, n_trials=3, callbacks=[callback])
    assert "resume_study" in caplog.text
    assert_same(second, load_study(client, key))
    assert_same(first, load_study(client, key, upload_id=upload.upload_id))
    with (
        pytest.raises(ValueError, match="resume_study"),
        OptistoreCallback(client, key, upload_id=upload.upload_id) as callback,
    ):
        second.optimize(square, n_trials=1, callbacks=[callback])


def test_a_save_whose_writer_is_connected_is_not_taken_over_unasked(client: optistore.Client, key: str) -> None:
    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(square, n_trials=1, callbacks=[callback])
        with pytest.raises(optistore.OptistoreError, match="connected"):
            OptistoreCallback(client, key)
        with pytest.raises(optistore.OptistoreError, match="connected"):
            resume_study(client, key)


def test_a_script_that_resumes_may_be_the_first(client: optistore.Client, key: str) -> None:
    study, callback = resume_study(client, key, directions=["maximize"], study_name="first")
    with callback:
        study.optimize(square, n_trials=3, callbacks=[callback])
    assert_same(study, load_study(client, key))


def test_a_study_that_was_resumed_is_committed_without_another_trial(client: optistore.Client, key: str) -> None:
    study = new_study()
    callback = OptistoreCallback(client, key)
    study.optimize(square, n_trials=3, callbacks=[callback])
    callback.close()
    resumed, callback = resume_study(client, key)
    with callback:
        assert len(resumed.trials) == 3
    assert_same(study, load_study(client, key))


def test_a_run_id_names_the_save(client: optistore.Client, key: str) -> None:
    run = f"run-{uuid.uuid4()}"
    study = new_study()
    callback = OptistoreCallback(client, key, upload_id=run)
    study.optimize(square, n_trials=3, callbacks=[callback])
    callback.close()
    with OptistoreCallback(client, key, upload_id=run) as callback:
        study.optimize(square, n_trials=3, callbacks=[callback])
    assert client.get(key).upload_id == run
    assert client.get(key).row_count == 6
    with pytest.raises(ValueError, match="is committed"), OptistoreCallback(client, key, upload_id=run) as callback:
        study.optimize(square, n_trials=1, callbacks=[callback])


def test_a_save_that_fails_is_told_and_loses_no_trial(client: optistore.Client, key: str) -> None:
    study = new_study()
    callback = OptistoreCallback(client, key)
    study.optimize(square, n_trials=3, callbacks=[callback])
    callback.flush()
    thief = OptistoreCallback(client, key, upload_id=callback.upload_id)
    thief.store(study)
    with pytest.raises(optistore.OptistoreError) as raised:
        for _ in range(100):
            study.optimize(square, n_trials=1, callbacks=[callback])
            time.sleep(0.02)
    assert raised.value.reason == "UPLOAD_TAKEN_OVER"
    thief.close()
    with callback:
        study.optimize(square, n_trials=2, callbacks=[callback])
    assert_same(study, load_study(client, key))
    assert client.get(key).row_count == len(study.trials)


def test_a_long_trial_that_was_cut_by_a_crash_is_stored_again(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("large", "x" * 100_000)
        return square(trial)

    study = new_study()
    callback = OptistoreCallback(client, key)
    study.optimize(objective, n_trials=3, callbacks=[callback])
    writer, columns = callback._writer, callback._columns
    assert writer is not None and columns is not None
    study.optimize(objective, n_trials=1)
    writer.append(columns.rows_of(study.trials[3])[0])
    callback.close()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=1, callbacks=[callback])
    assert_same(study, load_study(client, key))


def test_numbers_that_are_not_there_are_filled_by_failed_trials(client: optistore.Client, key: str) -> None:
    study = new_study()
    running = study.ask()
    study.optimize(square, n_trials=3)
    loaded = stored(client, key, study)
    assert [trial.number for trial in loaded.trials] == [0, 1, 2, 3]
    assert loaded.trials[running.number].state == TrialState.FAIL
    assert loaded.trials[running.number].system_attrs == {"optistore:lost": True}
    assert [facts(t) for t in loaded.trials[1:]] == [facts(t) for t in study.trials[1:]]


def test_a_study_is_loaded_into_a_database_of_optuna(client: optistore.Client, key: str, tmp_path: Path) -> None:
    study = new_study()
    study.optimize(square, n_trials=5)
    stored(client, key, study)
    loaded = load_study(client, key, storage=f"sqlite:///{tmp_path / 'copy.db'}", study_name="copy")
    assert loaded.study_name == "copy"
    assert [facts(t) for t in loaded.trials] == [facts(t) for t in study.trials]


def test_a_result_that_is_no_study_is_refused(client: optistore.Client, key: str) -> None:
    with client.save(key, [optistore.design_variable("x")]) as run:
        run.append({"x": 1.0})
    with pytest.raises(ValueError, match="not trials of Optuna"):
        load_study(client, key)


def test_a_revision_that_was_superseded_is_loaded(client: optistore.Client, key: str) -> None:
    first, second = new_study(), new_study()
    first.optimize(square, n_trials=2)
    second.optimize(square, n_trials=3)
    stored(client, key, first)
    revision = client.get(key).revision
    stored(client, key, second)
    assert_same(first, load_study(client, key, revision=revision))


def test_optunas_plots_and_bests_work_on_a_loaded_study(client: optistore.Client, key: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from optuna.visualization import matplotlib as plots

    def two(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_int("y", 1, 10)
        trial.set_constraint("c", x - 0.9)
        return x * y, (1 - x) * y

    def one(trial: optuna.Trial) -> float:
        x, kind = trial.suggest_float("x", 1e-3, 1, log=True), trial.suggest_categorical("kind", ["a", None, 3])
        for step in range(3):
            trial.report(x * step, step)
        return x + (kind == "a")

    study = new_study(directions=["minimize", "minimize"])
    study.optimize(two, n_trials=30)
    loaded = stored(client, key, study)
    assert {t.number for t in loaded.best_trials} == {t.number for t in study.best_trials}
    plots.plot_pareto_front(loaded)
    study = new_study()
    study.optimize(one, n_trials=30)
    loaded = stored(client, key, study)
    assert loaded.best_params == study.best_params
    for plot in (
        plots.plot_optimization_history, plots.plot_param_importances, plots.plot_parallel_coordinate, plots.plot_slice,
        plots.plot_contour, plots.plot_intermediate_values, plots.plot_edf, plots.plot_timeline,
    ):  # fmt: skip
        plot(loaded)
    matplotlib.pyplot.close("all")


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
        return FloatDistribution(0, count * step, step=step), st.integers(0, count).map(lambda k: k * step)
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
    study = optuna.create_study(directions=draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=3)))
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


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(study=studies())
def test_whatever_a_study_has_comes_back_bit_for_bit(client: optistore.Client, study: Study) -> None:
    key = a_key("hypothesis")
    assert_same(study, stored(client, key, study))
    client.delete(key)


def test_the_column_optuna_is_json_that_programs_read(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("note", [1, 2])
        trial.report(0.5, 3)
        return square(trial)

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=1, callbacks=[callback])
    assert json.loads(client.load(key)["optuna"][0]) == {"user_attrs": {"note": [1, 2]}, "intermediate_values": [[3, 0.5]]}
