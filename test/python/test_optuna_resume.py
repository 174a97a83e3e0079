"""What the plug-in for Optuna promises of studies that run: what is durable when, and how one that broke is gone on with."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import optistore
import optuna
import pytest
from conftest import Daemon
from optistore.optuna import OptistoreCallback, load_study, resume_study
from optistore.v1.result_pb2 import OUTCOME_STOPPED
from optistore.v1.storage_service_pb2 import Upload
from optuna.trial import TrialState
from optuna_studies import assert_same, facts, new_study, square, stored


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


def once_let_go(client: optistore.Client, key: str) -> Upload:
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


def test_a_study_may_be_killed_again_and_again(client: optistore.Client, key: str) -> None:
    study, callback = resume_study(client, key)
    for n in range(1, 5):
        study.ask()  # It runs when the study is broken off.
        study.optimize(square, n_trials=3, callbacks=[callback])
        callback.close()
        study, callback = resume_study(client, key)
        assert [trial.number for trial in study.trials] == list(range(4 * n))
    with callback:
        study.optimize(square, n_trials=1, callbacks=[callback])
    assert_same(study, load_study(client, key))
    lost = [trial.number for trial in study.trials if "optistore:lost" in trial.system_attrs]
    assert lost == [0, 4, 8, 12]


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


def test_a_study_goes_on_while_the_daemon_is_killed_and_started_again(daemon: Daemon, key: str) -> None:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 20:
            daemon.kill()
        if trial.number == 30:
            daemon.start()
        return square(trial)

    study = new_study()
    with optistore.connect(daemon.address) as client:
        with OptistoreCallback(client, key) as callback:
            study.optimize(objective, n_trials=50, callbacks=[callback])
        assert_same(study, load_study(client, key))
        assert client.get(key).row_count == 50


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
