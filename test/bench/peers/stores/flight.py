import copy
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight

import workload
from peer import Store, running

SERVER = Path(__file__).parent.with_name("flight_server.py")


class Flight(Store):
    """Arrow Flight (C++), a client in this process and a server in another."""

    clients = 8
    where: tuple[Path, ...] = ()

    def figures(self):
        with running(sys.executable, SERVER, *self.where, stdout=subprocess.PIPE, text=True) as server:
            self.address = f"grpc://127.0.0.1:{int(server.stdout.readline())}"
            self.client = flight.connect(self.address)
            yield from super().figures()

    def another_client(self):
        other = copy.copy(self)
        other.client = flight.connect(self.address)
        return other

    def prepared(self, batches):
        made = {id(batch): pa.RecordBatch.from_pydict(batch) for batch in batches}
        return [made[id(batch)] for batch in batches]

    def put(self, schema, *path):
        return self.client.do_put(flight.FlightDescriptor.for_path(*path), schema)

    def save(self, key, result):
        writer, _ = self.put(result[0].schema, key)
        for batch in result:
            writer.write_batch(batch)
        writer.done_writing()
        writer.close()

    def load(self, key):
        batches = self.client.do_get(flight.Ticket(key))
        return sum(column.to_numpy().nbytes for chunk in batches for column in chunk.data.columns)


class FlightInMemory(Flight):
    name = "flight_memory"
    title = "Arrow Flight, in memory"


class FlightInFile(Flight):
    name = "flight_file"
    title = "Arrow Flight, file and fsync"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.where = (self.folder,)

    def load_whole(self, key):
        table = self.client.do_get(flight.Ticket(key)).read_all().combine_chunks()
        return sum(column.to_numpy().nbytes for column in table.columns)

    def appends(self):
        yield self.whole()
        count = workload.ROWS_APPENDED
        synced, pipelined = "one-row appends, each synced and awaited", "one-row appends, pipelined, acked, not synced"
        yield self.figure("rows", synced, "rows/s", count, lambda: self.append_rows("synced", True))
        yield self.figure("rows_pipelined", pipelined, "rows/s", count, lambda: self.append_rows("acked", False))

    def append_rows(self, how, is_awaited):
        """Each row is acked by the server: before the next, or when it likes."""
        row = pa.RecordBatch.from_pydict(workload.noise(1))
        writer, acks = self.put(row.schema, f"rows-{how}", how)

        def take_acks(count):
            for _ in range(count):
                acks.read()

        taker = threading.Thread(target=take_acks, args=(0 if is_awaited else workload.ROWS_APPENDED,))
        taker.start()
        for _ in range(workload.ROWS_APPENDED):
            writer.write_batch(row)
            take_acks(1 if is_awaited else 0)
        taker.join()
        writer.done_writing()
        writer.close()
