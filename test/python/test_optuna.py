"""What the plug-in for Optuna promises: what of a study is stored, and what comes back."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings

import numpy as np
import optistore
import optuna
import pytest
from optistore.optuna import OptistoreCallback, load_study
from optistore.v1.problem_pb2 import VARIABLE_ROLE_INEQUALITY_CONSTRAINT
from optistore.v1.result_pb2 import OUTCOME_FINISHED
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from optuna_studies import assert_same, facts, new_study, square, stored

# Optuna calls its plots and names of metrics experimental.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_a_study_comes_back_trial_by_trial(client: optistore.Client, key: str) -> None:
    study = new_study(study_name="squares")
    with OptistoreCallback(client, key, tags={"team": "a"}, description="squares of x") as callback:
        study.optimize(square, n_trials=30, callbacks=[callback])
        assert callback.trial_count == 30
    loaded = load_study(client, key)
    assert_same(study, loaded)
    assert loaded.best_trial.number == study.best_trial.number
    result = client.get(key)
    assert callback.result is not None and result.revision == callback.result.revision
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


def test_an_enqueued_value_out_of_its_range_comes_back(client: optistore.Client, key: str) -> None:
    study = new_study()
    study.enqueue_trial({"x": 7.5})
    with warnings.catch_warnings(), OptistoreCallback(client, key) as callback:
        warnings.simplefilter("ignore")
        study.optimize(square, n_trials=3, callbacks=[callback])
    assert study.trials[0].params == {"x": 7.5}
    assert_same(study, load_study(client, key))


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

    matplotlib.use("agg")
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


def test_the_column_optuna_is_json_that_programs_read(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.set_user_attr("note", [1, 2])
        trial.report(0.5, 3)
        return square(trial)

    study = new_study()
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=1, callbacks=[callback])
    assert json.loads(client.load(key)["optuna"][0]) == {"user_attrs": {"note": [1, 2]}, "intermediate_values": [[3, 0.5]]}


def test_the_best_trials_are_a_set_of_the_result(client: optistore.Client, key: str) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        if trial.number == 0:
            trial.set_user_attr("large", "x" * 200_000)
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return x, (1 - x) * y

    study = new_study(directions=["minimize", "minimize"])
    with OptistoreCallback(client, key) as callback:
        study.optimize(objective, n_trials=30, callbacks=[callback])
    best = client.load(key, result_set="optimum")
    assert best["number"].tolist() == [trial.number for trial in study.best_trials]


def test_metric_names_are_as_many_as_there_are_objectives(client: optistore.Client, key: str) -> None:
    study = new_study()
    with pytest.raises(ValueError, match="2 metric names"):
        study.optimize(square, n_trials=1, callbacks=[OptistoreCallback(client, key, metric_names=["a", "b"])])


def test_without_optuna_it_is_told_how_to_get_it() -> None:
    program = "import sys; sys.modules['optuna'] = None; import optistore.optuna"
    ended = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert 'pip install "optistore[optuna]"' in ended.stderr
