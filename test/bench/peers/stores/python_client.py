import copy
import uuid

import optistore

import workload
from peer import Store


class Streamed(Store):
    """The Python package, from and to numpy, and a daemon that is given."""

    name = "python"
    title = "Python client"
    clients = 8

    def figures(self):
        self.run = uuid.uuid4().hex
        self.variables = [optistore.observable(f"v{i}") for i in range(workload.COLUMNS)]
        with optistore.connect(self.given) as self.client:
            yield from super().figures()

    def another_client(self):
        other = copy.copy(self)
        other.client = optistore.connect(self.given)
        return other

    def prepared(self, batches):
        return batches

    def save(self, key, result):
        with self.client.save(f"bench/{self.run}/{key}", self.variables) as run:
            for batch in result:
                run.append(batch)

    def load(self, key):
        batches = self.client.load_batches(f"bench/{self.run}/{key}")
        return sum(rows[name].nbytes for rows in batches for name in rows)

    def load_whole(self, key):
        rows = self.client.load(f"bench/{self.run}/{key}")
        return sum(rows[name].nbytes for name in rows)

    def appends(self):
        row = {name: float(values[0]) for name, values in workload.noise(1).items()}
        count = 50_000

        def append():
            with self.client.save(f"bench/{self.run}/rows", self.variables) as run:
                for _ in range(count):
                    run.append(row)

        yield self.figure("rows", "rows of 40 columns appended one by one", "rows/s", count, append)
        yield self.whole()


class FromFiles(Streamed):
    """The same over the Unix socket, where rows are read from the daemon's files."""

    name = "python_files"
    title = "Python client at a Unix socket"
