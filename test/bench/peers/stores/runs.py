import os
import sys
import time

import mlflow
from mlflow.entities import Metric

import workload
from peer import Peer, free_port, running, wait_for

# It takes 1,000 values a call.
ROWS_A_CALL = 1000 // workload.COLUMNS
ROWS = 40 * ROWS_A_CALL
# Its jobs have nothing to do here, and take the processor for half a minute to start.
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class Runs(Peer):
    """The MLflow server on SQLite, and its client: a row is a step of 40 metrics."""

    name = "mlflow"
    title = "MLflow server on SQLite"

    def figures(self):
        port = free_port()
        where = ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--artifacts-destination", self.folder]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", 1, *where]
        with running(*command, cwd=self.folder, env={**os.environ, **SETTINGS}, stdout=2) as server:
            wait_for(server, port)
            self.client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
            self.run = self.client.create_run(self.client.create_experiment("bench")).info.run_id
            yield self.figure("rows", f"rows saved, {ROWS_A_CALL} a call", "rows/s", ROWS, self.save)
            yield self.figure("rows_load", "rows loaded, a metric a call", "rows/s", ROWS, self.load)

    def save(self):
        columns = workload.noise(ROWS)
        for first in range(0, ROWS, ROWS_A_CALL):
            now = int(time.time() * 1000)
            steps = range(first, first + ROWS_A_CALL)
            metrics = [Metric(name, values[step].item(), now, step) for step in steps for name, values in columns.items()]
            self.client.log_batch(self.run, metrics)

    def load(self):
        for i in range(workload.COLUMNS):
            values = [metric.value for metric in self.client.get_metric_history(self.run, f"v{i}")]
            if len(values) != ROWS:
                raise ValueError(f"{len(values)} values of {ROWS} came back")
