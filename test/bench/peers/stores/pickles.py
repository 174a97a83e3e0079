import os
import pickle

import pandas

import workload
from peer import Store


class Pickles(Store):
    """pandas in this process, a file a result."""

    name = "pickle"
    title = "pandas pickle in process, fsync"

    def prepared(self, batches):
        return pandas.DataFrame(workload.joined(batches))

    def save(self, key, result):
        with open(self.folder / key, "wb") as file:
            pickle.dump(result, file, protocol=5)
            file.flush()
            os.fsync(file.fileno())

    def load(self, key):
        with open(self.folder / key, "rb") as file:
            return pickle.load(file).to_numpy().nbytes
