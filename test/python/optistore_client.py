"""A client of optistore made from nothing but its .proto files, gRPC and numpy."""

from __future__ import annotations

import itertools
import queue
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from optistore.v1 import problem_pb2, rows_pb2, storage_service_pb2, storage_service_pb2_grpc

# No call of a test takes this long: a daemon that hangs fails the test instead of stopping it.
DEADLINE_S = 60

DTYPES = {"float64_values": "<f8", "int64_values": "<i8", "bool_values": "?"}


@dataclass
class Values:
    """A column's values; where `valid` is False, what `data` holds means nothing."""

    # numpy array, or a list of str.
    data: np.ndarray | list[str]
    valid: np.ndarray

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: slice) -> Values:
        return Values(self.data[rows], self.valid[rows])


def pack(values: Values) -> rows_pb2.Column:
    column = rows_pb2.Column()
    if isinstance(values.data, list):
        encoded = [text.encode() for text in values.data]
        offsets = np.zeros(len(encoded) + 1, "<u4")
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        column.string_values.offsets = offsets.tobytes()
        column.string_values.utf8 = b"".join(encoded)
    else:
        name = {"f": "float64_values", "i": "int64_values", "b": "bool_values"}[values.data.dtype.kind]
        setattr(column, name, values.data.astype(DTYPES[name]).tobytes())
    if not values.valid.all():
        column.validity = np.packbits(values.valid, bitorder="little").tobytes()
    return column


def unpack(column: rows_pb2.Column, row_count: int) -> Values:
    kind = column.WhichOneof("values")
    if kind == "string_values":
        offsets = np.frombuffer(column.string_values.offsets, "<u4")
        assert len(offsets) == row_count + 1 and offsets[0] == 0 and offsets[-1] == len(column.string_values.utf8)
        utf8 = column.string_values.utf8
        data = [utf8[start:end].decode() for start, end in itertools.pairwise(offsets)]
    else:
        data = np.frombuffer(getattr(column, kind), DTYPES[kind])
        assert len(data) == row_count
    valid = np.ones(row_count, bool)
    if column.validity:
        assert len(column.validity) == (row_count + 7) // 8
        valid = np.unpackbits(np.frombuffer(column.validity, "u1"), count=row_count, bitorder="little").astype(bool)
    return Values(data, valid)


def crc32(columns: Iterable[rows_pb2.Column]) -> int:
    crc = 0
    for column in columns:
        if column.WhichOneof("values") == "string_values":
            crc = zlib.crc32(column.string_values.offsets, crc)
            crc = zlib.crc32(column.string_values.utf8, crc)
        else:
            crc = zlib.crc32(getattr(column, column.WhichOneof("values")), crc)
        crc = zlib.crc32(column.validity, crc)
    return crc


def batch_of(columns: Sequence[Values], first_row: int, row_count: int) -> rows_pb2.RowBatch:
    packed = [pack(values[first_row : first_row + row_count]) for values in columns]
    return rows_pb2.RowBatch(first_row=first_row, row_count=row_count, columns=packed, crc32=crc32(packed))


def details_of(error: grpc.RpcError) -> tuple[status_pb2.Status, error_details_pb2.ErrorInfo]:
    """What grpc-status-details-bin says."""
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    assert [detail.Unpack(info) for detail in status.details] == [True]
    return status, info


class Save:
    """A SaveResult stream, on which everything is said by hand."""

    def __init__(self, stub: storage_service_pb2_grpc.StorageServiceStub) -> None:
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        self.call = stub.SaveResult(iter(self._requests.get, None), timeout=DEADLINE_S)

    def send(self, **message) -> Save:
        self._requests.put(storage_service_pb2.SaveResultRequest(**message))
        return self

    def answer(self, kind: str):
        """The next answer of a kind; acks before it are passed over."""
        for response in self.call:
            case = response.WhichOneof("message")
            if case == kind:
                return getattr(response, case)
            assert case == "ack", f"{case} came where {kind} was due"
        raise AssertionError(f"the stream ended without {kind}")

    def acked(self, rows: int) -> int:
        """Waits until so many rows are durable; gives how many are."""
        while (durable := self.answer("ack").durable_row_count) < rows:
            pass
        return durable

    def close(self) -> None:
        self._requests.put(None)

    def ended(self) -> grpc.StatusCode:
        """Closes the client's side, and gives the status that the stream ends with."""
        self.close()
        for response in self.call:
            assert response.WhichOneof("message") == "ack"
        return self.call.code()

    def cancel(self) -> None:
        self.call.cancel()
        self.close()


@dataclass
class Loaded:
    header: storage_service_pb2.LoadHeader
    columns: dict[str, Values]
    batches: list[rows_pb2.RowBatch] = field(default_factory=list)


def load(stub: storage_service_pb2_grpc.StorageServiceStub, key: str, **request) -> Loaded:
    """Loads, and holds every message against the contract on the way."""
    call: Iterator = stub.LoadResult(storage_service_pb2.LoadResultRequest(key=key, **request), timeout=DEADLINE_S)
    first, *batches, last = list(call)
    assert first.WhichOneof("message") == "header" and last.WhichOneof("message") == "trailer"
    header = first.header
    parts: list[list[Values]] = [[] for _ in header.variables]
    next_row = header.first_row
    for message in batches:
        assert message.WhichOneof("message") == "batch"
        batch = message.batch
        assert batch.first_row == next_row and len(batch.columns) == len(header.variables)
        assert batch.HasField("crc32") and batch.crc32 == crc32(batch.columns)
        for part, column in zip(parts, batch.columns, strict=False):
            part.append(unpack(column, batch.row_count))
        next_row += batch.row_count
    assert next_row - header.first_row == header.row_count == last.trailer.row_count
    columns = {variable.name: joined(part, variable) for part, variable in zip(parts, header.variables, strict=False)}
    return Loaded(header, columns, [message.batch for message in batches])


def joined(parts: list[Values], variable: problem_pb2.Variable) -> Values:
    valid = np.concatenate([part.valid for part in parts]) if parts else np.ones(0, bool)
    if variable.value_type == problem_pb2.VALUE_TYPE_STRING:
        return Values([text for part in parts for text in part.data], valid)
    return Values(np.concatenate([part.data for part in parts]) if parts else np.zeros(0), valid)
