"""What users would pick instead, one peer a run: prints a line of JSON for each figure. See ../parts/peers.ts.

    python peers.py PEER FOLDER
"""

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from workload import COLUMNS, GB, SMALL_COUNT, SMALL_ROWS, batch, batch_count

ROWS_APPENDED = 2000


def tell(name: str, what: str, unit: str, value: float) -> None:
    print(json.dumps({"id": name, "what": what, "unit": unit, "value": value}), flush=True)


def timed(act) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def megabytes(act, size: float = GB) -> float:
    return size / 1e6 / timed(act)


def synced(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def flight(folder: Path, kind: str) -> None:
    """Arrow Flight (C++), a client in this process and a server in another."""
    import pyarrow as pa
    import pyarrow.flight as arrow_flight

    arguments = [str(folder)] if kind == "file" else []
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("flight_server.py"), *arguments], stdout=subprocess.PIPE, text=True
    )
    where = "file and fsync" if kind == "file" else "in memory"
    try:
        address = f"grpc://127.0.0.1:{int(server.stdout.readline())}"
        client = arrow_flight.connect(address)
        batches = [pa.RecordBatch.from_pydict(batch()) for _ in range(8)]

        def put(to, name, given):
            writer, _ = to.do_put(arrow_flight.FlightDescriptor.for_path(name), given[0].schema)
            for one in given:
                writer.write_batch(one)
            writer.done_writing()
            writer.close()

        def load(of, name):
            rows = 0
            for chunk in of.do_get(arrow_flight.Ticket(name)):
                rows += sum(len(column.to_numpy()) for column in chunk.data.columns) // COLUMNS
            return rows

        many = [batches[i % 8] for i in range(batch_count())]
        tell(f"flight_{kind}_save", f"Arrow Flight, {where}: save of 1 GB", "MB/s", megabytes(lambda: put(client, b"bulk", many)))
        tell(f"flight_{kind}_load", f"Arrow Flight, {where}: load of it into numpy", "MB/s", megabytes(lambda: load(client, b"bulk")))

        small = [pa.RecordBatch.from_pydict(batch(SMALL_ROWS))]
        size = SMALL_COUNT * SMALL_ROWS * COLUMNS * 8

        def by_eight(act):
            def some(first):
                own = arrow_flight.connect(address)
                for i in range(first, SMALL_COUNT, 8):
                    act(own, b"small%d" % i)

            threads = [threading.Thread(target=some, args=(i,)) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        save_small = megabytes(lambda: by_eight(lambda own, name: put(own, name, small)), size)
        tell(f"flight_{kind}_small_save", f"Arrow Flight, {where}: 1,000 of 320 KB, 8 clients save", "MB/s", save_small)
        load_small = megabytes(lambda: by_eight(load), size)
        tell(f"flight_{kind}_small_load", f"Arrow Flight, {where}: they load them", "MB/s", load_small)
    finally:
        server.kill()
        server.wait()


def pickles(folder: Path) -> None:
    """pandas in this process, a pickle each."""
    import pandas

    def save(frame, name):
        with open(folder / name, "wb") as file:
            pickle.dump(frame, file, protocol=5)
            synced(file)

    def load(name):
        with open(folder / name, "rb") as file:
            return pickle.load(file)

    both("pickle", "pandas pickle in process, fsync", save, load, pandas.DataFrame(batch(batch_count() * 3276)), pandas.DataFrame(batch(SMALL_ROWS)))


def both(name, what, save, load, large, small) -> None:
    """The figures of a peer that runs in this process."""
    tell(f"{name}_save", f"{what}: save of 1 GB", "MB/s", megabytes(lambda: save(large, "large")))
    tell(f"{name}_load", f"{what}: load of it", "MB/s", megabytes(lambda: load("large")))
    size = SMALL_COUNT * SMALL_ROWS * COLUMNS * 8
    save_small = megabytes(lambda: [save(small, f"small{i}") for i in range(SMALL_COUNT)], size)
    tell(f"{name}_small_save", f"{what}: 1,000 of 320 KB saved", "MB/s", save_small)
    load_small = megabytes(lambda: [load(f"small{i}") for i in range(SMALL_COUNT)], size)
    tell(f"{name}_small_load", f"{what}: they are loaded", "MB/s", load_small)


def blobs(folder: Path) -> None:
    """SQLAlchemy and SQLite in this process, a pickled blob a column: SQLite takes none of 1 GB."""
    import sqlalchemy as sql

    engine = sql.create_engine(f"sqlite:///{folder / 'blobs.db'}")
    table = sql.Table(
        "blobs",
        sql.MetaData(),
        sql.Column("result", sql.String, primary_key=True),
        sql.Column("name", sql.String, primary_key=True),
        sql.Column("value", sql.LargeBinary),
    )
    table.metadata.create_all(engine)

    def save(columns, result):
        with engine.begin() as connection:
            for name, values in columns.items():
                row = {"result": result, "name": name, "value": pickle.dumps(values, protocol=5)}
                connection.execute(table.insert(), row)

    def load(result):
        with engine.connect() as connection:
            found = connection.execute(sql.select(table.c.name, table.c.value).where(table.c.result == result))
            return {name: pickle.loads(value) for name, value in found}

    both("sqlalchemy", "SQLAlchemy and SQLite in process", save, load, batch(batch_count() * 3276), batch(SMALL_ROWS))


def hdf5(folder: Path) -> None:
    """h5py in this process, a file a result, a dataset a column."""
    import h5py

    def save(columns, name):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for key, values in columns.items():
                file[key] = values
        descriptor = os.open(folder / f"{name}.h5", os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)

    def load(name):
        with h5py.File(folder / f"{name}.h5") as file:
            return {key: file[key][:] for key in file}

    both("h5py", "h5py in process, fsync", save, load, batch(batch_count() * 3276), batch(SMALL_ROWS))
    row = np.random.random((1, COLUMNS))

    def append(is_synced):
        with h5py.File(folder / f"rows-{is_synced}.h5", "w") as file:
            rows = file.create_dataset("rows", (0, COLUMNS), maxshape=(None, COLUMNS), chunks=(1024, COLUMNS))
            handle = file.id.get_vfd_handle()
            for i in range(ROWS_APPENDED):
                rows.resize(i + 1, axis=0)
                rows[i] = row
                file.flush()
                if is_synced:
                    os.fsync(handle)

    tell("h5py_rows", "h5py in process: one-row appends, synced", "rows/s", ROWS_APPENDED / timed(lambda: append(True)))
    tell("h5py_rows_flushed", "h5py in process: one-row appends, flush only", "rows/s", ROWS_APPENDED / timed(lambda: append(False)))


def optuna_trials(folder: Path) -> None:
    """Optuna's own storages, studies of 10 parameters: trials a second."""
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        return sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(10))

    def run(storage, count):
        study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler())
        return count / timed(lambda: study.optimize(objective, n_trials=count))

    sqlite = RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    tell("optuna_sqlite", "Optuna on SQLite, 10 parameters", "trials/s", run(sqlite, 100))
    journal = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    tell("optuna_journal", "Optuna on a journal file, 10 parameters", "trials/s", run(journal, 300))


PEERS = {
    "flight": lambda folder: flight(folder, "file"),
    "flight-memory": lambda folder: flight(folder, "memory"),
    "pickle": pickles,
    "sqlalchemy": blobs,
    "h5py": hdf5,
    "optuna": optuna_trials,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]))
