"""Studies of Optuna: streamed trial by trial, gone on with after a crash, and read back.

Example:
    >>> import optuna, optistore
    >>> from optistore.optuna import OptistoreCallback, load_study
    >>> client = optistore.connect()
    >>> study = optuna.create_study()
    >>> with OptistoreCallback(client, "runs/study") as callback:
    ...     study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=100, callbacks=[callback])
    >>> load_study(client, "runs/study").best_value == study.best_value
    True
"""

from __future__ import annotations

try:
    import optuna
except ImportError as error:
    raise ImportError('optistore.optuna needs Optuna: pip install "optistore[optuna]"') from error

from optuna.study import Study

from ..client import Client
from .callback import OptistoreCallback, resume_study
from .studies import StudyOptions, committed_trials, made_study, unfinished_trials

__all__ = ["OptistoreCallback", "load_study", "resume_study"]


def load_study(
    client: Client,
    key: str,
    *,
    revision: int | None = None,
    upload_id: str | None = None,
    study_name: str | None = None,
    storage: str | optuna.storages.BaseStorage | None = None,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> Study:
    """A study with the very trials that are stored: Optuna's plots and ``best_trials`` work on it.

    Trials keep their numbers. A number that is not there, of a trial that ran when the study was broken off, is filled by
    a trial that failed, with ``optistore:lost`` among its system attributes.

    Args:
        client: Of the daemon.
        key: The result.
        revision: None: the newest.
        upload_id: Of a save in progress: its durable trials. None: the committed result.
        study_name: None: as it was called.
        storage: Where Optuna is to keep the study. None: in memory.
        sampler: As in ``optuna.create_study``.
        pruner: As in ``optuna.create_study``.

    Raises:
        ValueError: The result was not stored by OptistoreCallback.
        OptistoreError: There is no such result or save.
    """
    stored = committed_trials(client, key, revision) if upload_id is None else unfinished_trials(client, key, upload_id)
    if stored is None:
        raise ValueError(f"the save {upload_id} of {key!r} has no durable trial yet")
    return made_study(stored, StudyOptions(study_name, storage, sampler, pruner))
