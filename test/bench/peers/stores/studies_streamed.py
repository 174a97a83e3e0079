import optistore
import optuna
from optistore.optuna import OptistoreCallback, load_study

from peer import Peer
from stores.studies import Studies

TRIALS = 2000
FLUSHED_TRIALS = 500


class StudiesStreamed(Peer):
    """Studies in memory, whose trials of 10 parameters the callback of optistore streams to the daemon that is given."""

    name = "optuna"
    title = Studies.title

    def figures(self):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        yield self.figure("alone", "in memory, not saved", "trials/s", TRIALS, lambda: self.optimize(TRIALS))
        key = f"bench/{self.folder.name}"
        with optistore.connect(self.given) as client:
            yield self.streamed(client, f"{key}/all", "streamed", "all durable at the end", TRIALS, False)
            yield self.streamed(client, f"{key}/each", "flushed", "each durable before the next", FLUSHED_TRIALS, True)

            def load():
                if (loaded := len(load_study(client, f"{key}/all").get_trials(deepcopy=False))) != TRIALS:
                    raise ValueError(f"{loaded} trials of {TRIALS} came back")

            yield self.figure("streamed_load", "optistore, loaded", "trials/s", TRIALS, load, ("optuna_proxy_load",))

    def streamed(self, client, key, name, durable, count, is_flushed):
        def stream():
            with OptistoreCallback(client, key, flush_every_trial=is_flushed) as callback:
                self.optimize(count, [callback])
            if callback.result.row_count != count:
                raise ValueError(f"{callback.result.row_count} trials of {count} were saved")

        beside = ("optuna_proxy", "optuna_alone")
        return self.figure(name, f"callback of optistore, {durable}", "trials/s", count, stream, beside)

    @staticmethod
    def optimize(count, callbacks=None):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler())
        study.optimize(Studies.objective, n_trials=count, callbacks=callbacks)
