"""An Arrow Flight server that keeps each result in a file, made durable once it is whole; or in memory. Prints its port."""

import os
import sys

import pyarrow as pa
import pyarrow.flight as flight


class FileServer(flight.FlightServerBase):
    """Results by name, as Arrow files."""

    def __init__(self, folder: str):
        super().__init__("grpc://127.0.0.1:0")
        self.folder = folder

    def path(self, name: bytes) -> str:
        return os.path.join(self.folder, name.decode().replace("/", "_"))

    def do_put(self, context, descriptor, reader, writer):
        """A path of two tells how rows that come one by one are taken: see append_rows."""
        name, *how = descriptor.path
        with open(self.path(name), "wb") as file:
            if how:
                return self.append_rows(file, reader, writer, how == [b"synced"])
            with pa.ipc.new_file(file, reader.schema) as stored:
                for chunk in reader:
                    stored.write_batch(chunk.data)
            file.flush()
            os.fsync(file.fileno())

    def append_rows(self, file, reader, acks, is_synced):
        """Each row is acked when it is with the system, or on the disk."""
        with pa.ipc.new_stream(file, reader.schema) as stored:
            for chunk in reader:
                stored.write_batch(chunk.data)
                file.flush()
                if is_synced:
                    os.fsync(file.fileno())
                acks.write(b"ok")

    def do_get(self, context, ticket):
        stored = pa.ipc.open_file(pa.memory_map(self.path(ticket.ticket)))
        batches = (stored.get_batch(i) for i in range(stored.num_record_batches))
        return flight.GeneratorStream(stored.schema, batches)


class MemoryServer(flight.FlightServerBase):
    """Results by name, as lists of batches."""

    def __init__(self):
        super().__init__("grpc://127.0.0.1:0")
        self.results: dict[bytes, tuple[pa.Schema, list[pa.RecordBatch]]] = {}

    def do_put(self, context, descriptor, reader, writer):
        self.results[descriptor.path[0]] = (reader.schema, [chunk.data for chunk in reader])

    def do_get(self, context, ticket):
        schema, batches = self.results[ticket.ticket]
        return flight.GeneratorStream(schema, iter(batches))


if __name__ == "__main__":
    server = FileServer(sys.argv[1]) if len(sys.argv) > 1 else MemoryServer()
    print(server.port, flush=True)
    server.serve()
