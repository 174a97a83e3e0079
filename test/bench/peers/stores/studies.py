import sys

import optuna
from optuna.storages import GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from peer import Peer, free_port, running, wait_for

PROXY = """
import sys
from optuna.storages import RDBStorage, run_grpc_proxy_server
run_grpc_proxy_server(RDBStorage(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
"""
SQLITE_TRIALS = 100
JOURNAL_TRIALS = 300


class Studies(Peer):
    """Optuna's own storages: trials of 10 parameters."""

    name = "optuna"
    title = "Optuna, 10 parameters"

    def figures(self):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        url = f"sqlite:///{self.folder / 'optuna.db'}"
        yield from self.of("sqlite", "SQLite", lambda: RDBStorage(url), SQLITE_TRIALS)
        journal = str(self.folder / "optuna.journal")
        yield from self.of("journal", "journal file", lambda: JournalStorage(JournalFileBackend(journal)), JOURNAL_TRIALS)
        port = free_port()
        with running(sys.executable, "-c", PROXY, url, port) as server:
            wait_for(server, port)
            yield from self.of("proxy", "SQLite behind its gRPC proxy", lambda: GrpcStorageProxy(host="127.0.0.1", port=port), SQLITE_TRIALS)

    def of(self, name, where, storage, count):
        sampler = optuna.samplers.RandomSampler()
        study = optuna.create_study(study_name=name, storage=storage(), sampler=sampler)
        # Opened before there are trials: opening is not timed, and the storage has kept none.
        other = optuna.load_study(study_name=name, storage=storage())
        yield self.figure(name, f"{where}, saved", "trials/s", count, lambda: study.optimize(self.objective, n_trials=count))

        def load():
            if (loaded := len(other.get_trials(deepcopy=False))) != count:
                raise ValueError(f"{loaded} trials of {count} came back")

        yield self.figure(f"{name}_load", f"{where}, loaded", "trials/s", count, load)

    @staticmethod
    def objective(trial):
        return sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(10))
