"""Studies of Optuna made of what is stored."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from .._resume import rows_until
from ..client import Client
from ..rows import Rows
from ..v1.problem_pb2 import Problem
from .trials import TrialColumns, TrialReader

#: Marks a trial that ran when the study was broken off.
LOST = "optistore:lost"


@dataclass(frozen=True)
class StoredTrials:
    """What a result, or a save in progress, has."""

    upload_id: str
    columns: TrialColumns
    trials: Sequence[FrozenTrial]
    #: Where each of them begins, by number.
    rows: Mapping[int, int]
    row_count: int


@dataclass(frozen=True)
class StudyOptions:
    """What ``optuna.create_study`` is told beside the stored facts."""

    study_name: str | None
    storage: str | optuna.storages.BaseStorage | None
    sampler: optuna.samplers.BaseSampler | None
    pruner: optuna.pruners.BasePruner | None


def committed_trials(client: Client, key: str, revision: int | None) -> StoredTrials:
    """The trials of a result. ValueError where its rows are not trials."""
    rows = client.load(key, revision=revision)
    return _read(key, rows.result.upload_id, rows.result.problem, [rows])


def unfinished_trials(client: Client, key: str, upload_id: str) -> StoredTrials | None:
    """The durable trials of a save in progress. None: it has none. ValueError where its rows are not trials."""
    durable = next((u.durable_row_count for u in client.list_uploads(key) if u.upload_id == upload_id), 0)
    if durable == 0:
        return None
    follower = client.follow(key, upload_id=upload_id)
    return _read(key, upload_id, follower.begin().problem, rows_until(durable, follower))


def _read(key: str, upload_id: str, problem: Problem, batches: Iterable[Rows]) -> StoredTrials:
    try:
        columns = TrialColumns(problem)
    except ValueError as error:
        raise ValueError(f"{key!r} can't be read as a study: {error}") from error
    reader = TrialReader(columns)
    for rows in batches:
        reader.add(rows)
    return StoredTrials(upload_id, columns, reader.trials(), reader.rows, reader.row_count)


def made_study(stored: StoredTrials, options: StudyOptions) -> Study:
    """A study with these trials, under their own numbers."""
    study = optuna.create_study(
        study_name=options.study_name or stored.columns.problem.name or None,
        storage=options.storage,
        sampler=options.sampler,
        pruner=options.pruner,
        directions=stored.columns.directions,
    )
    if stored.columns.metric_names is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(stored.columns.metric_names)
    for trial in _without_gaps(stored.trials):
        _add(study, trial)
    return study


def _add(study: Study, trial: FrozenTrial) -> None:
    try:
        study.add_trial(trial)
    except ValueError:
        # Optuna itself lets in what it would not add: an enqueued parameter that is out of its range.
        study._storage.create_new_trial(study._study_id, template_trial=trial)


def _without_gaps(trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
    number = 0
    for trial in trials:
        while number < trial.number:
            yield _lost(number, trial)
            number += 1
        yield trial
        number += 1


def _lost(number: int, behind: FrozenTrial) -> FrozenTrial:
    """In the place of a trial that is not there; its times are those of the next that is."""
    return FrozenTrial(
        number=number,
        state=TrialState.FAIL,
        value=None,
        datetime_start=behind.datetime_start,
        datetime_complete=behind.datetime_complete,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={LOST: True},
        intermediate_values={},
        trial_id=number,
    )
