import os

import h5py
import numpy as np

import workload
from peer import Store
from workload import COLUMNS, ROWS_APPENDED


class Hdf5(Store):
    """h5py in this process, a file a result, its columns the rows of one dataset: one a column is ten times as slow for small ones."""

    name = "h5py"
    title = "h5py in process, fsync"

    def path(self, key):
        return self.folder / f"{key}.h5"

    def prepared(self, batches):
        return np.stack(list(workload.joined(batches).values()))

    def save(self, key, result):
        with h5py.File(self.path(key), "w") as file:
            file["columns"] = result
        descriptor = os.open(self.path(key), os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)

    def load(self, key):
        with h5py.File(self.path(key)) as file:
            return file["columns"][:].nbytes

    def appends(self):
        yield self.figure("rows", "one-row appends, synced", "rows/s", ROWS_APPENDED, lambda: self.append_rows(True))
        yield self.figure("rows_flushed", "one-row appends, flush only", "rows/s", ROWS_APPENDED, lambda: self.append_rows(False))

    def append_rows(self, is_synced):
        row = np.random.random((1, COLUMNS))
        with h5py.File(self.path(f"rows-{is_synced}"), "w") as file:
            rows = file.create_dataset("rows", (0, COLUMNS), "f8", maxshape=(None, COLUMNS), chunks=(1024, COLUMNS))
            descriptor = file.id.get_vfd_handle()
            for i in range(ROWS_APPENDED):
                rows.resize(i + 1, axis=0)
                rows[i] = row
                file.flush()
                if is_synced:
                    os.fsync(descriptor)
