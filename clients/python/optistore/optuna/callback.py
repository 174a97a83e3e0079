"""Trials of a study, stored as they finish."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from .._calls import OutcomeName
from .._resume import wait_to_resume
from ..client import Client
from ..errors import OptistoreError
from ..row_numbers import RowsOfSet
from ..v1.problem_pb2 import Problem
from ..v1.result_pb2 import Result, ResultSet
from ..writer import Writer
from .studies import StoredTrials, StudyOptions, made_study, unfinished_trials
from .trials import TrialColumns, constraints_in, problem_of

#: So many trials without a complete one are waited for until the columns are those of what there is.
TRIALS_WAITED_FOR = 10
#: The named subset that a commit comes with: the rows of the study's best trials.
OPTIMUM = "optimum"

log = logging.getLogger("optistore.optuna")


class OptistoreCallback:
    """Stores each trial of a study as it finishes: ``study.optimize(objective, callbacks=[callback])``.

    As a context manager it commits at the end; without one, call ``commit`` and ``close``. Where the block raises, Ctrl+C
    included, all finished trials are made durable and the save is left open, to be gone on with. Threads may share it, as
    with ``n_jobs``.

    Trials that the study had before, or that Optuna tells no callback of, such as the failed one that ends a study, are
    stored with the first trial that comes, by ``flush`` and at the end. Each number is stored once.

    What the daemon refuses, or a connection that stays broken for the client's ``retry_s``, raises OptistoreError and so
    ends ``study.optimize``; nothing is lost then, as the study still has its trials: they are stored when the callback is
    used again.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        *,
        space: Mapping[str, BaseDistribution] | None = None,
        metric_names: Sequence[str] | None = None,
        upload_id: str | None = None,
        resume: bool = True,
        flush_every_trial: bool = False,
        tags: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        description: str = "",
        expected_revision: int | None = None,
        replicate: bool | Literal["sync"] | None = None,
        to_backend: Literal["primary", "cache"] | None = None,
        on_reconnect: Callable[[OptistoreError], object] | None = None,
    ) -> None:
        """Asks the daemon whether a save is in progress; nothing is stored yet.

        Args:
            client: To be closed after the callback.
            key: Where the result is to be kept.
            space: Parameters that get a column of their own. None: those of the first trials, until one is complete;
                others are kept as well, in the column ``optuna``.
            metric_names: Names of the objectives. None: those of the study, else ``value``, or ``value_0``, ``value_1``, …
            upload_id: Names the save: the one that is in progress is gone on with, also where another writer is connected.
            resume: Goes on with the save of this key that is in progress, if it has trials of the same study.
            flush_every_trial: A trial is durable before the next one begins.
            tags: As in ``client.save``, as all that follows.
            attributes: Free structured facts.
            description: Free text.
            expected_revision: The commit replaces this revision only; 0: the key must not exist.
            replicate: Copies it to the secondary.
            to_backend: Which store keeps it.
            on_reconnect: Called when the stream broke and is about to be opened again.

        Raises:
            OptistoreError: No daemon answers; or the save that would be gone on with has a writer that is connected.
        """
        self._client = client
        self._key = key
        self._space = space
        self._metric_names = metric_names
        self._flush_every_trial = flush_every_trial
        self._save_options: dict[str, Any] = {
            "tags": tags, "attributes": attributes, "description": description, "expected_revision": expected_revision,
            "replicate": replicate, "to_backend": to_backend, "on_reconnect": on_reconnect,
        }  # fmt: skip
        self._lock = threading.RLock()
        self._study: Study | None = None
        self._waited_for = 0
        self._columns: TrialColumns | None = None
        self._writer: Writer | None = None
        #: Rows of the trials that are stored, by number.
        self._rows: dict[int, int] = {}
        self._result: Result | None = None
        self._upload_id = upload_id or (wait_to_resume(client, key) if resume else None)
        self._is_told = upload_id is not None
        #: The save has columns already.
        self._is_begun = any(u.upload_id == self._upload_id and u.durable_row_count > 0 for u in client.list_uploads(key))

    @property
    def upload_id(self) -> str | None:
        """Names the save. None: there is none yet."""
        return self._upload_id

    @property
    def trial_count(self) -> int:
        """Trials that are stored; those of the last moment are durable by the next flush or commit."""
        return len(self._rows)

    @property
    def result(self) -> Result | None:
        """What was committed last. None: nothing was."""
        return self._result

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Called by Optuna, when a trial has finished."""
        with self._lock:
            self._study = study
            if self._writer is None or self._writer.committed is not None:
                self._waited_for += 1
                if not self._has_columns(trial):
                    return
                self._store_all(study)
            else:
                self._guarded(lambda: self._store(trial))
            writer = self._writer
        if self._flush_every_trial and writer is not None:
            # Other threads may store theirs meanwhile.
            self._guarded(writer.flush)

    def store(self, study: Study) -> None:
        """Stores all finished trials of a study that are not stored yet; also of one that was optimized before."""
        with self._lock:
            self._study = study
            self._store_all(study)

    def flush(self) -> int:
        """Returns, with their number, when all finished trials are durable."""
        with self._lock:
            if self._study is not None:
                self._store_all(self._study)
            if self._writer is not None:
                self._guarded(self._writer.flush)
            return len(self._rows)

    def commit(
        self,
        outcome: OutcomeName = "finished",
        result_sets: Mapping[str, RowsOfSet] | Iterable[ResultSet] | None = None,
    ) -> Result:
        """Stores what is lacking, and makes the study a result. Idempotent.

        Args:
            outcome: How the study ended.
            result_sets: As in ``Writer.commit``. None: ``optimum``, the rows of the study's best trials.

        Raises:
            ValueError: No trial has finished.
        """
        with self._lock:
            if self._study is not None and (self._writer is None or self._writer.committed is None):
                self._store_all(self._study)
            writer = self._writer
            if writer is None:
                raise ValueError(f"no trial has finished: there is nothing to commit at {self._key!r}")
            sets = self._optimum() if result_sets is None else result_sets
            result: Result = self._guarded(lambda: writer.commit(outcome, sets))
            self._result = result
            return result

    def _optimum(self) -> dict[str, list[int]] | None:
        best = [] if self._study is None else self._study.best_trials
        rows = sorted(self._rows[trial.number] for trial in best if trial.number in self._rows)
        return {OPTIMUM: rows} if rows else None

    def close(self) -> None:
        """Lets go of the save without committing it: what is stored is made durable, and it can be gone on with."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is not None and writer.committed is not None:
                self._upload_id, self._is_told, self._is_begun, self._waited_for = None, False, False, 0
        if writer is not None:
            writer.close()

    def __enter__(self) -> OptistoreCallback:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is not None:
                self._keep(error)
            elif self._study is not None:
                self._finish(self._study)
        finally:
            # What went wrong already is what is told.
            with contextlib.suppress(OptistoreError):
                self.close()

    def _finish(self, study: Study) -> None:
        self.store(study)
        if self._writer is not None:
            self.commit()

    def _keep(self, error: BaseException) -> None:
        """The study broke. That is what is raised, whatever becomes of its trials; a note says it."""
        try:
            count = self.flush()
            if count == 0:
                return
            said = f"optistore: {count} trials are safe; go on with the save {self._upload_id!r}, see resume_study."
        except (OptistoreError, ValueError) as failure:
            said = f"optistore: trials could not be stored: {failure}"
            log.error("Trials of %r could not be stored: %s", self._key, failure)
        if hasattr(error, "add_note"):
            error.add_note(said)

    def _has_columns(self, trial: FrozenTrial) -> bool:
        """Whether the columns may be fixed: a trial that failed or was pruned may not have come to all of its parameters."""
        is_known = self._space is not None or self._is_begun or trial.state == TrialState.COMPLETE
        return is_known or self._flush_every_trial or self._waited_for >= TRIALS_WAITED_FOR

    def _store_all(self, study: Study) -> None:
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
        if not trials:
            return
        if self._writer is not None and self._writer.committed is not None:
            # What comes behind the commit makes another result, of all trials.
            self.close()
        if self._writer is None:
            self._open(study, trials)
        self._guarded(lambda: self._store_each(trials))

    def _store_each(self, trials: Sequence[FrozenTrial]) -> None:
        for trial in trials:
            self._store(trial)

    def _store(self, trial: FrozenTrial) -> None:
        if trial.number in self._rows:
            return
        assert self._writer is not None and self._columns is not None
        rows = self._columns.rows_of(trial)
        first_row = self._writer.next_row
        self._writer.append(rows[0] if len(rows) == 1 else rows)
        self._rows[trial.number] = first_row

    def _guarded(self, act: Callable[[], Any]) -> Any:
        """After a failure the save is opened again when the callback is used again: the daemon then says what it has."""
        try:
            return act()
        except OptistoreError:
            self._is_told = True
            self._rows = {}
            with contextlib.suppress(OptistoreError):
                self.close()
            raise

    def _open(self, study: Study, trials: Sequence[FrozenTrial]) -> None:
        stored = self._stored_of(study, trials)
        if stored is None:
            columns = TrialColumns(self._problem(study, trials))
            stored = StoredTrials(self._upload_id or str(uuid.uuid4()), columns, [], {}, 0)
        if not self._take(stored):
            self._open(study, trials)

    def _take(self, stored: StoredTrials) -> bool:
        """Opens the save. False: it has more than was read, and nobody else adds to it from now on."""
        writer = self._client.save(self._key, stored.columns.problem, upload_id=stored.upload_id, **self._save_options)
        self._upload_id = stored.upload_id
        if writer.committed is not None:
            writer.close()
            raise ValueError(
                f"the save {stored.upload_id} of {self._key!r} is committed: give this one another upload id, or none"
            )
        if writer.next_row != stored.row_count:
            writer.close()
            return False
        self._writer, self._columns, self._is_begun = writer, stored.columns, True
        self._rows = dict(stored.rows)
        return True

    def _taken(self) -> StoredTrials | None:
        """Opens the save that is gone on with, and gives what it has. None: there is none, or nothing in it."""
        while self._upload_id is not None:
            stored = unfinished_trials(self._client, self._key, self._upload_id)
            if stored is None:
                self._upload_id = self._upload_id if self._is_told else None
                break
            self._is_told = True
            if self._take(stored):
                return stored
        return None

    def _stored_of(self, study: Study, trials: Sequence[FrozenTrial]) -> StoredTrials | None:
        """What the save has that is gone on with. None: a new one is begun."""
        if self._upload_id is None:
            return None
        try:
            stored = unfinished_trials(self._client, self._key, self._upload_id)
            if stored is None:
                self._upload_id = self._upload_id if self._is_told else None
                return None
            if _are_of(stored.trials, trials):
                return stored
            wrong = f"has trials that the study {study.study_name!r} does not have"
        except ValueError as error:
            wrong = str(error)
        if self._is_told:
            raise ValueError(
                f"the save {self._upload_id} of {self._key!r} {wrong}: go on with the study that resume_study makes, or "
                "store this one under another key or upload id"
            )
        log.warning(
            "A save of %r is in progress (%s), which %s. It is left as it is, and another is begun; resume_study goes on "
            "with it.", self._key, self._upload_id, wrong,
        )  # fmt: skip
        self._upload_id = None
        return None

    def _problem(self, study: Study, trials: Sequence[FrozenTrial]) -> Problem:
        space: dict[str, BaseDistribution] = dict(self._space or {})
        if self._space is None:
            for trial in trials:
                for name, distribution in trial.distributions.items():
                    space.setdefault(name, distribution)
        constraints = dict.fromkeys(key for trial in trials for key, _ in constraints_in(trial.system_attrs))
        names = self._metric_names or study.metric_names
        if names and len(names) != len(study.directions):
            raise ValueError(f"there are {len(names)} metric names, {names!r}, for {len(study.directions)} objectives")
        solver = f"Optuna {optuna.__version__} {type(study.sampler).__name__}"
        return problem_of(study.study_name, solver, study.directions, names, space, constraints)


def _are_of(stored: Sequence[FrozenTrial], trials: Sequence[FrozenTrial]) -> bool:
    """Whether they are trials of this study: no two begin in the same microsecond, under the same number."""
    started = {trial.number: trial.datetime_start for trial in trials}
    return all(trial.number in started and started[trial.number] == trial.datetime_start for trial in stored)


def resume_study(
    client: Client,
    key: str,
    *,
    upload_id: str | None = None,
    directions: Sequence[Literal["minimize", "maximize"]] | None = None,
    study_name: str | None = None,
    storage: str | optuna.storages.BaseStorage | None = None,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    **options: Any,
) -> tuple[Study, OptistoreCallback]:
    """Goes on with a study that was broken off, or begins one where no save is in progress.

    Gives a study with the trials that are durable, and the callback that stores those to come behind them.

    Args:
        client: Of the daemon.
        key: Of the save.
        upload_id: Which save; one with a writer that is connected is taken over. None: the one of the key with the latest
            trial.
        directions: Of a new study. None: ``["minimize"]``.
        study_name: As in ``load_study``, as all that follows.
        storage: Where Optuna is to keep the study.
        sampler: Seeded as before, it would suggest the same again: give it another seed, or none.
        pruner: As in ``optuna.create_study``.
        options: Of the OptistoreCallback.
    """
    callback = OptistoreCallback(client, key, upload_id=upload_id, **options)
    stored = callback._taken()
    if stored is None:
        study = optuna.create_study(
            study_name=study_name, storage=storage, sampler=sampler, pruner=pruner, directions=directions or ["minimize"]
        )
    else:
        study = made_study(stored, StudyOptions(study_name, storage, sampler, pruner))
    # Also where no trial is to come any more, the callback commits these.
    callback._study = study
    return study, callback
