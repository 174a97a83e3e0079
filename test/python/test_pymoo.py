"""What the plug-in for pymoo promises."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import optistore
import pytest
from conftest import Daemon
from optistore.pymoo import OptistoreCallback, load_population
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.algorithms.soo.nonconvex.pattern import PatternSearch
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.optimize import minimize

SOLVER = str(Path(__file__).parent / "nsga2_run.py")


class Counted(ElementwiseProblem):
    """Counts its evaluations."""

    def __init__(self) -> None:
        super().__init__(n_var=2, n_obj=2, n_ieq_constr=1, n_eq_constr=1, xl=[0, -1], xu=[5, 3])
        self.evaluations = 0

    def _evaluate(self, x, out, *args, **kwargs) -> None:
        self.evaluations += 1
        out["F"] = [x[0] ** 2, (x[1] - 1) ** 2]
        out["G"] = [x[0] - 4]
        out["H"] = [x[0] - 2 * x[1]]


class Interrupted(Exception):
    pass


class StopAfter(OptistoreCallback):
    """Breaks off after some generations, as a solver that fails."""

    generations = 3

    def notify(self, algorithm) -> None:
        super().notify(algorithm)
        if algorithm.n_iter == self.generations:
            raise Interrupted


def whole(client: optistore.Client, key: str) -> dict[str, np.ndarray]:
    rows = client.load(key)
    return {name: rows[name] for name in rows}


def assert_same_run(client: optistore.Client, key: str, undisturbed: str) -> None:
    here, there = whole(client, key), whole(client, undisturbed)
    assert list(here) == list(there)
    for name in there:
        assert here[name].tobytes() == there[name].tobytes(), name


def test_every_evaluation_is_streamed_with_its_generation_and_feasibility(client: optistore.Client, key: str) -> None:
    problem = Counted()
    with OptistoreCallback(client, key, tags={"kind": "test"}) as callback:
        result = minimize(problem, NSGA2(10), ("n_gen", 6), seed=1, callback=callback, evaluator=callback.evaluator)
    assert callback.result is not None
    stored = client.get(key)
    assert (stored.row_count, stored.problem.name, stored.tags["kind"]) == (problem.evaluations, "Counted", "test")
    assert stored.problem.solver.startswith("pymoo NSGA2 0.")
    names = [(v.name, v.lower_bound if v.HasField("lower_bound") else None) for v in stored.problem.variables]
    assert names == [
        *(("generation", None), ("x1", 0), ("x2", -1), ("f1", None), ("f2", None)),
        *(("g1", None), ("h1", None), ("feasible", None)),
    ]
    rows = client.load(key)
    assert rows["generation"].tolist() == sorted(rows["generation"]) and rows["generation"][-1] == 6
    assert (rows["f1"] == rows["x1"] ** 2).all() and (rows["g1"] == rows["x1"] - 4).all()
    feasible = (rows["g1"] <= 0) & (np.abs(rows["h1"]) <= 1e-4)
    assert (rows["feasible"] == feasible).all()
    # The daemon takes the same rows for feasible.
    best = rows["f1"][feasible].min() if feasible.any() else None
    assert ([s.best for s in stored.columns if s.name == "f1" and s.HasField("best")] or [None]) == [best]
    optimum = client.load(key, result_set="optimum")
    wanted = result.algorithm.opt.get("F")
    assert sorted(zip(optimum["f1"], optimum["f2"], strict=True)) == sorted(map(tuple, wanted))


def test_without_its_evaluator_the_callback_streams_the_same_rows(client: optistore.Client, key: str) -> None:
    for name, more in (("a", False), ("b", True)):
        with OptistoreCallback(client, f"{key}/{name}") as callback:
            evaluator = {"evaluator": callback.evaluator} if more else {}
            minimize(Counted(), NSGA2(10), ("n_gen", 6), seed=1, callback=callback, **evaluator)
    assert_same_run(client, f"{key}/a", f"{key}/b")


def test_a_run_that_is_over_is_committed_by_itself(client: optistore.Client, key: str) -> None:
    callback = OptistoreCallback(client, key)
    minimize(Counted(), NSGA2(10), ("n_gen", 3), seed=1, callback=callback)
    assert client.get(key).row_count == 30


def test_rows_can_be_read_while_the_run_goes_on(client: optistore.Client, key: str) -> None:
    seen: list[int] = []

    class Watched(OptistoreCallback):
        def notify(self, algorithm) -> None:
            super().notify(algorithm)
            if algorithm.n_iter < 4:
                assert self.writer is not None
                durable = self.writer.flush()
                seen.append(durable)
                rows = next(iter(client.follow(key)))
                assert len(rows) <= durable and rows["generation"][0] == 1

    minimize(Counted(), NSGA2(10), ("n_gen", 5), seed=1, callback=Watched(client, key))
    assert seen == [10, 20, 30]


@pytest.mark.parametrize("has_evaluator", [False, True])
def test_a_run_that_broke_off_goes_on_and_equals_one_that_was_never_disturbed(
    client: optistore.Client, key: str, has_evaluator: bool
) -> None:
    def go(name: str, kind: type[OptistoreCallback]) -> int:
        problem = Counted()
        with kind(client, f"{key}/{name}") as callback:
            more = {"evaluator": callback.evaluator} if has_evaluator else {}
            minimize(problem, NSGA2(10), ("n_gen", 8), seed=3, callback=callback, **more)
        return problem.evaluations

    with pytest.raises(Interrupted):
        go("broken", StopAfter)
    evaluations = go("broken", OptistoreCallback)
    go("whole", OptistoreCallback)
    assert_same_run(client, f"{key}/broken", f"{key}/whole")
    # What was stored is not evaluated again, but for the generation that comes before the callback is asked.
    assert evaluations == (50 if has_evaluator else 60)
    optima = [client.load(f"{key}/{name}", result_set="optimum").to_pandas() for name in ("broken", "whole")]
    assert optima[0].equals(optima[1])


def test_a_run_with_another_seed_is_not_mixed_with_the_one_that_broke_off(client: optistore.Client, key: str) -> None:
    with pytest.raises(Interrupted), StopAfter(client, key) as callback:
        minimize(Counted(), NSGA2(10), ("n_gen", 8), seed=3, callback=callback)
    with pytest.raises(ValueError, match="it is another run"), OptistoreCallback(client, key) as callback:
        minimize(Counted(), NSGA2(10), ("n_gen", 8), seed=4, callback=callback)
    [upload] = client.list_uploads(key)
    assert upload.durable_row_count == 30


def test_an_algorithm_from_a_checkpoint_goes_on_where_that_was_taken(client: optistore.Client, key: str) -> None:
    problem = Counted()
    algorithm = NSGA2(10)
    algorithm.setup(problem, termination=("n_gen", 8), seed=3, callback=OptistoreCallback(client, key))
    for _ in range(3):
        algorithm.next()
    checkpoint = pickle.dumps(algorithm)
    algorithm.next()
    algorithm.callback.close()

    restored = pickle.loads(checkpoint)
    with OptistoreCallback(client, key) as callback:
        restored.callback = callback
        restored.run()
    with OptistoreCallback(client, f"{key}/whole") as callback:
        minimize(Counted(), NSGA2(10), ("n_gen", 8), seed=3, callback=callback)
    assert_same_run(client, key, f"{key}/whole")


def test_a_checkpoint_that_is_ahead_of_the_save_is_refused(client: optistore.Client, key: str) -> None:
    algorithm = NSGA2(10)
    algorithm.setup(Counted(), termination=("n_gen", 8), seed=3)
    for _ in range(3):
        algorithm.next()
    with pytest.raises(ValueError, match="begin anew"), OptistoreCallback(client, key) as callback:
        algorithm.callback = callback
        algorithm.next()


def test_history_and_copies_of_an_algorithm_do_no_harm(client: optistore.Client, key: str) -> None:
    with OptistoreCallback(client, key) as callback:
        result = minimize(
            Counted(), NSGA2(10), ("n_gen", 4), seed=1, callback=callback, evaluator=callback.evaluator, save_history=True
        )
        assert len(result.history) == 4
        copy.deepcopy(result.algorithm)
    assert client.get(key).row_count == 40


def test_mixed_variables_come_back_as_they_were(client: optistore.Client, key: str) -> None:
    class Mixed(ElementwiseProblem):
        def __init__(self) -> None:
            variables = {
                "b": Binary(),
                "c": Choice(options=["nothing", "multiply"]),
                "k": Choice(options=[1, 2, 5]),
                "i": Integer(bounds=(-2, 2)),
                "r": Real(bounds=(-5, 5)),
            }
            super().__init__(vars=variables, n_obj=1)

        def _evaluate(self, x, out, *args, **kwargs) -> None:
            f = x["i"] ** 2 + x["r"] ** 2 + x["k"]
            out["F"] = (100 + f) * (2 if x["c"] == "multiply" else 1) if x["b"] else f

    evaluated: list[dict] = []

    class Kept(OptistoreCallback):
        def notify(self, algorithm) -> None:
            super().notify(algorithm)
            evaluated.extend(individual.X for individual in algorithm.off)

    with Kept(client, key) as callback:
        minimize(Mixed(), MixedVariableGA(pop_size=10), ("n_gen", 5), seed=1, callback=callback)
    problem = client.get(key).problem
    kinds = {v.name: (v.value_type, list(v.categories)) for v in problem.variables}
    assert kinds["b"] == (3, []) and kinds["i"] == (2, []) and kinds["k"] == (4, ["1", "2", "5"])
    population = load_population(client, key, problem=Mixed())
    assert [individual.X for individual in population] == evaluated
    again = [Mixed().evaluate(np.array([individual.X]), return_values_of=["F"])[0][0] for individual in population]
    assert [individual.F[0] for individual in population] == again


def test_a_population_that_is_read_back_starts_another_run(client: optistore.Client, key: str) -> None:
    with OptistoreCallback(client, key, names={"X": ["width", "height"], "F": ["cost", "mass"]}) as callback:
        minimize(Counted(), NSGA2(10), ("n_gen", 4), seed=1, callback=callback)
    assert "width" in client.load(key)
    population = load_population(client, key)
    assert len(population) == 40
    problem = Counted()
    out = problem.evaluate(population.get("X"), return_as_dictionary=True)
    for letter in ("F", "G", "H"):
        assert (population.get(letter) == out[letter]).all(), letter
    assert population.get("n_gen").tolist() == client.load(key)["generation"].tolist()
    problem.evaluations = 0
    minimize(problem, NSGA2(40, sampling=population), ("n_gen", 2), seed=2)
    # They count as evaluated.
    assert problem.evaluations == 40


def test_algorithms_that_evaluate_between_generations_are_streamed_whole(client: optistore.Client, key: str) -> None:
    class Sphere(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(n_var=3, n_obj=1, xl=-2, xu=2)
            self.evaluations = 0

        def _evaluate(self, x, out, *args, **kwargs) -> None:
            self.evaluations += 1
            out["F"] = (x**2).sum()

    for name, algorithm in (("ga", GA(10)), ("pattern", PatternSearch())):
        problem = Sphere()
        with OptistoreCallback(client, f"{key}/{name}") as callback:
            minimize(problem, algorithm, ("n_eval", 60), seed=1, callback=callback, evaluator=callback.evaluator)
        rows = client.load(f"{key}/{name}")
        assert len(rows) == problem.evaluations > 0, name
        assert rows["f1"] == pytest.approx(sum(rows[f"x{i}"] ** 2 for i in (1, 2, 3)))


def test_names_that_are_too_few_are_refused(client: optistore.Client, key: str) -> None:
    with pytest.raises(ValueError, match="2 of X, but 1 names"), OptistoreCallback(client, key, names={"X": ["a"]}) as callback:
        minimize(Counted(), NSGA2(10), ("n_gen", 2), seed=1, callback=callback)


def test_names_of_nothing_are_refused(client: optistore.Client, key: str) -> None:
    with pytest.raises(ValueError, match="not of 'x'"), OptistoreCallback(client, key, names={"x": ["a", "b"]}) as callback:
        minimize(Counted(), NSGA2(10), ("n_gen", 2), seed=1, callback=callback)


def test_options_that_have_the_same_text_are_refused(client: optistore.Client, key: str) -> None:
    class Ambiguous(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(vars={"c": Choice(options=[1, "1"])}, n_obj=1)

        def _evaluate(self, x, out, *args, **kwargs) -> None:
            out["F"] = 0.0

    with pytest.raises(ValueError, match='options of "c"'), OptistoreCallback(client, key) as callback:
        minimize(Ambiguous(), MixedVariableGA(pop_size=2), ("n_gen", 2), seed=1, callback=callback)


def test_nsga2_is_killed_then_its_daemon_and_the_run_equals_one_that_was_never_disturbed(daemon: Daemon) -> None:
    solver = subprocess.Popen(
        [sys.executable, SOLVER, daemon.address, "runs/killed", "0.01"], stdout=subprocess.PIPE, text=True
    )
    told(solver, 110)
    solver.kill()
    solver.wait()
    with optistore.connect(daemon.address) as client:
        [upload] = client.list_uploads("runs/killed")
    assert 60 <= upload.durable_row_count <= 120

    # The same command again; the daemon is killed under it, and comes back.
    solver = subprocess.Popen(
        [sys.executable, SOLVER, daemon.address, "runs/killed", "0.01"], stdout=subprocess.PIPE, text=True
    )
    told(solver, 60)
    daemon.kill()
    told(solver, 10)
    daemon.start()
    rest = told(solver, None)
    assert solver.wait() == 0
    # What was durable was not evaluated again.
    assert rest + 70 == 300 - upload.durable_row_count

    assert (
        subprocess.run([sys.executable, SOLVER, daemon.address, "runs/whole", "0"], stdout=subprocess.DEVNULL).returncode == 0
    )
    with optistore.connect(daemon.address) as client:
        assert client.get("runs/killed").row_count == 300
        assert_same_run(client, "runs/killed", "runs/whole")
        assert not list(client.list_uploads())


def told(solver: subprocess.Popen[str], count: int | None) -> int:
    """Waits until a solver has told of so many evaluations, or of all; how many they were."""
    assert solver.stdout is not None
    lines = 0
    while count is None or lines < count:
        if not solver.stdout.readline():
            assert count is None, f"the solver ended after {lines}"
            break
        lines += 1
    return lines
