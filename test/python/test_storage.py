"""What the storage manager of the guide promises over a daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import optistore
import pandas as pd
import pytest
from conftest import Daemon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optistore.core import OptimizationResult
from optistore.row_numbers import from_message, to_message
from optistore.storage import StorageManager, create_storage_manager


@pytest.fixture
def manager() -> Iterator[StorageManager]:
    with create_storage_manager(server=os.environ["OPTISTORE_SERVER"], use_cache=True) as manager:
        yield manager


def example(rows: int = 100) -> OptimizationResult:
    random = np.random.default_rng(rows)
    return OptimizationResult(
        design_variables=pd.DataFrame({"x": random.random(rows), "n": random.integers(0, 9, rows)}),
        objectives=pd.DataFrame({"cost": random.random(rows), "strength": random.random(rows)}),
        inequality_constraints=pd.DataFrame({"g": random.random(rows) - 0.5}),
        equality_constraints=pd.DataFrame({"h": np.zeros(rows)}),
        observables=pd.DataFrame(
            {
                "ok": random.random(rows) < 0.5,
                "material": pd.array(["steel" if i % 3 else None for i in range(rows)], dtype="string"),
                "mass": pd.array([None if i % 5 == 0 else i * 0.5 for i in range(rows)], dtype="Float64"),
            }
        ),
        metadata={"solver": "NSGA2", "seed": 7, "rate": 0.25, "nested": {"list": [1, "two", None, True]}},
        result_sets={"front": [1, 4, 9], "all": np.arange(rows), "none": []},
        directions={"strength": "maximize"},
    )


def test_a_result_comes_back_as_it_was(manager: StorageManager, client: optistore.Client, key: str) -> None:
    result = example()
    assert manager.save_result(key, result) == 1
    loaded = manager.load_result(key)
    assert loaded.equals(result)
    assert (loaded.key, loaded.revision, len(loaded)) == (key, 1, 100)
    pd.testing.assert_frame_equal(loaded.design_variables, result.design_variables)
    pd.testing.assert_frame_equal(loaded.observables, result.observables)
    directions = {v.name: v.direction for v in client.get(key).problem.variables}
    assert (directions["cost"], directions["strength"]) == (1, 2)
    assert manager.list_results(key) == [key]


def test_a_result_that_was_loaded_can_be_saved_again_with_all_that_is_known(
    manager: StorageManager, client: optistore.Client, key: str
) -> None:
    first = example()
    first.problem = first.to_problem()
    first.problem.variables[0].unit = "mm"
    first.problem.variables[0].upper_bound = 1
    manager.save_result(key, first)
    loaded = manager.load_result(key)
    loaded.metadata["note"] = "changed"
    assert manager.save_result(key, loaded) == 2
    assert client.get(key).problem == first.problem
    assert manager.load_result(key, revision=1).equals(first)
    assert manager.load_result(key).metadata["note"] == "changed"


def test_the_guides_steps_work(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start(secondary={"type": "filesystem", "base_path": str(daemon.folder / "secondary")})
    manager = create_storage_manager(server=daemon.address, use_cache=True)
    result = example()
    manager.save_result("experiment_1", result)
    assert manager.load_result("experiment_1").equals(result)
    manager.save_result("run_001", result, replicate=True)
    manager.save_result("run_002", result, to_backend="cache")
    manager.migrate_result("run_002", from_backend="cache", to_backend="primary")
    manager.migrate_result("experiment_1", from_backend="primary", to_backend="secondary")
    assert manager.list_results() == ["experiment_1", "run_001", "run_002"]
    without_cache = create_storage_manager(server=daemon.address, use_cache=False)
    for key in manager.list_results():
        assert without_cache.load_result(key).equals(result), key
    manager.delete_result("run_001")
    assert manager.list_results() == ["experiment_1", "run_002"]
    with pytest.raises(optistore.OptistoreError) as missing:
        without_cache.load_result("run_001")
    assert missing.value.reason == "RESULT_NOT_FOUND"
    without_cache.close()
    manager.close()


def test_a_result_that_can_not_be_saved_leaves_nothing_behind(
    manager: StorageManager, client: optistore.Client, key: str
) -> None:
    result = example()
    result.result_sets = {"far": [1000]}
    with pytest.raises(optistore.OptistoreError) as refused:
        manager.save_result(key, result)
    assert refused.value.reason == "RESULT_SET_INVALID"
    assert not list(client.list_uploads(key))
    assert manager.list_results(key) == []


def test_why_a_result_can_not_be_saved_is_told_where_there_is_nothing_to_remove(manager: StorageManager, key: str) -> None:
    with pytest.raises(ValueError, match="ascending order"):
        manager.save_result(key, OptimizationResult(metadata={"a": 1}, result_sets={"wrong": [3, 1]}))


def test_masks_of_sets_are_taken_as_lists_and_as_series(manager: StorageManager, key: str) -> None:
    result = example(3)
    result.result_sets = {"list": [False, True, True], "series": pd.Series([True, pd.NA, False], dtype="boolean")}
    manager.save_result(key, result)
    loaded = manager.load_result(key)
    assert {name: list(rows) for name, rows in loaded.result_sets.items()} == {"list": [1, 2], "series": [0]}
    assert loaded.equals(result)


def test_frames_that_do_not_fit_together_are_refused(manager: StorageManager, key: str) -> None:
    x = pd.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="equal length"):
        OptimizationResult(design_variables=x, objectives=pd.DataFrame({"f": [1.0]}))
    with pytest.raises(ValueError, match='"x" is a column of design_variables and of objectives'):
        OptimizationResult(design_variables=x, objectives=x)
    with pytest.raises(TypeError, match='"when"'):
        manager.save_result(key, OptimizationResult(observables=pd.DataFrame({"when": pd.to_datetime(["2026-01-01"])})))
    with pytest.raises(ValueError, match="the problem has the variables"):
        manager.save_result(key, OptimizationResult(design_variables=x, problem=example().to_problem()))


def test_labels_of_frames_do_not_matter(manager: StorageManager, key: str) -> None:
    x = pd.DataFrame({"x": [1.0, 2.0]}, index=[7, 3])
    f = pd.DataFrame({"f": [3.0, 4.0]}, index=["a", "b"])
    manager.save_result(key, OptimizationResult(design_variables=x, objectives=f))
    loaded = manager.load_result(key)
    assert loaded.design_variables["x"].tolist() == [1, 2] and loaded.objectives["f"].tolist() == [3, 4]


def test_a_result_of_metadata_alone_comes_back(manager: StorageManager, key: str) -> None:
    manager.save_result(key, OptimizationResult(metadata={"note": "nothing evaluated"}))
    loaded = manager.load_result(key)
    assert loaded.metadata == {"note": "nothing evaluated"} and len(loaded) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.sets(st.integers(0, 2999)), st.sets(st.integers(0, 2900)), st.integers(1, 99))
def test_the_rows_of_a_set_come_back_in_whatever_form_the_daemon_keeps_them(
    client: optistore.Client, scattered: set[int], starts: set[int], length: int
) -> None:
    key = "test_storage/sets"
    if not list(client.list(key)):
        with client.save(key, [optistore.observable("x")]) as run:
            run.append({"x": np.zeros(3000)})
    runs = {row for start in starts for row in range(start, min(start + length, 3000))}
    for rows in (sorted(scattered), sorted(runs), sorted(set(range(3000)) - scattered)):
        assert from_message(to_message(rows)).tolist() == rows
        client.put_result_set(key, "s", rows)
        [kept] = client.get(key).result_sets
        assert from_message(kept.rows).tolist() == rows
