"""A client of optistore made only from its .proto files: saves, is cut off, resumes, loads.

Usage: client.py HOST:PORT, with the generated modules on PYTHONPATH. Prints one JSON object.
"""

import json
import queue
import sys
import zlib

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from optistore.v1 import problem_pb2, rows_pb2, storage_service_pb2 as pb
from optistore.v1 import storage_service_pb2_grpc as rpc

KEY, UPLOAD_ID, ROWS = "python/run", "python-run-1", 5000

rng = np.random.default_rng(7)
X = rng.normal(size=ROWS)
X[:4] = [np.nan, np.inf, -np.inf, -0.0]
N = rng.integers(-(2**63), 2**63 - 1, size=ROWS, dtype="int64")
OK = rng.integers(0, 2, size=ROWS, dtype="uint8")
TEXT = [f"Träger {i} 🚀" if i % 7 else "" for i in range(ROWS)]
THERE = np.arange(ROWS) % 5 != 0  # of TEXT: every fifth is missing

PROBLEM = problem_pb2.Problem(
    name="from Python",
    variables=[
        problem_pb2.Variable(name=name, role=problem_pb2.VARIABLE_ROLE_OBSERVABLE, value_type=value_type)
        for name, value_type in [
            ("x", problem_pb2.VALUE_TYPE_FLOAT64),
            ("n", problem_pb2.VALUE_TYPE_INT64),
            ("ok", problem_pb2.VALUE_TYPE_BOOL),
            ("text", problem_pb2.VALUE_TYPE_STRING),
        ]
    ],
)


def batch(first, end):
    """Rows first to before end, as a RowBatch with its checksum."""
    parts = [t.encode() if THERE[first + i] else b"" for i, t in enumerate(TEXT[first:end])]
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype("<u4").tobytes()
    validity = np.packbits(THERE[first:end], bitorder="little").tobytes()
    utf8 = b"".join(parts)
    numbers = [X[first:end].astype("<f8").tobytes(), N[first:end].astype("<i8").tobytes(), OK[first:end].tobytes()]
    return rows_pb2.RowBatch(
        first_row=first,
        row_count=end - first,
        columns=[
            rows_pb2.Column(float64_values=numbers[0]),
            rows_pb2.Column(int64_values=numbers[1]),
            rows_pb2.Column(bool_values=numbers[2]),
            rows_pb2.Column(string_values=rows_pb2.StringValues(offsets=offsets, utf8=utf8), validity=validity),
        ],
        crc32=zlib.crc32(b"".join([*numbers, offsets, utf8, validity])),
    )


class Save:
    """One SaveResult stream."""

    def __init__(self, address, **open_fields):
        self.channel = grpc.insecure_channel(address)
        self.requests = queue.Queue()
        self.answers = rpc.StorageServiceStub(self.channel).SaveResult(iter(self.requests.get, None))
        self.send(open=pb.SaveOpen(key=KEY, upload_id=UPLOAD_ID, **open_fields))

    def send(self, **message):
        self.requests.put(pb.SaveResultRequest(**message))

    def answer(self, kind):
        """The next answer of a kind; acks before it are passed over."""
        for response in self.answers:
            if response.WhichOneof("message") == kind:
                return getattr(response, kind)
        raise AssertionError(f"the stream ended without {kind}")

    def flush(self):
        self.send(flush=pb.SaveFlush())
        return self.answer("ack").durable_row_count

    def break_off(self):
        self.answers.cancel()
        self.channel.close()


def save_and_resume(address):
    first = Save(address, problem=PROBLEM, tags={"solver": "python"})
    assert first.answer("opened").next_row == 0
    for start in range(0, 2000, 500):
        first.send(batch=batch(start, start + 500))
    acked = first.flush()
    first.send(batch=batch(2000, 2500))
    first.break_off()

    second = Save(address)  # a resume needs no problem
    next_row = second.answer("opened").next_row
    assert acked == 2000 and next_row in (2000, 2500), (acked, next_row)
    second.send(batch=batch(1500, 3000))  # known rows again: no harm
    for row in range(3000, 3200):
        second.send(batch=batch(row, row + 1))
    second.send(batch=batch(3200, ROWS))
    second.send(commit=pb.SaveCommit(row_count=ROWS))
    committed = second.answer("committed").result

    third = Save(address)  # the answer might have been lost
    assert third.answer("opened").committed.revision == committed.revision
    third.send(commit=pb.SaveCommit(row_count=ROWS))
    assert third.answer("committed").result.revision == committed.revision
    return {"acked": acked, "nextRow": next_row, "revision": committed.revision, "rows": committed.row_count}


def load(stub, **selection):
    """Columns by name, of bytes as numpy reads them; texts as list with None."""
    columns, names, rows = {}, [], 0
    for response in stub.LoadResult(pb.LoadResultRequest(key=KEY, **selection)):
        kind = response.WhichOneof("message")
        if kind == "header":
            names = [variable.name for variable in response.header.variables]
        elif kind == "batch":
            got = response.batch
            crc = 0
            for name, column in zip(names, got.columns, strict=True):
                crc = add_column(columns.setdefault(name, []), column, got.row_count, crc)
            assert crc == got.crc32
            rows += got.row_count
        else:
            assert response.trailer.row_count == rows
    return columns


def add_column(values, column, row_count, crc):
    kind = column.WhichOneof("values")
    there = np.ones(row_count, dtype=bool)
    if column.validity:
        there = np.unpackbits(np.frombuffer(column.validity, "u1"), count=row_count, bitorder="little").astype(bool)
    if kind == "string_values":
        offsets, utf8 = column.string_values.offsets, column.string_values.utf8
        ends = np.frombuffer(offsets, "<u4")
        values.extend(utf8[a:b].decode() if ok else None for a, b, ok in zip(ends, ends[1:], there))
        crc = zlib.crc32(utf8, zlib.crc32(offsets, crc))
    else:
        raw = getattr(column, kind)
        dtype = {"float64_values": "<f8", "int64_values": "<i8", "bool_values": "u1"}[kind]
        values.extend(np.frombuffer(raw, dtype))
        crc = zlib.crc32(raw, crc)
    return zlib.crc32(column.validity, crc)


def same(values, wanted):
    return np.array(values, dtype=wanted.dtype).tobytes() == wanted.tobytes()


def reason(call):
    """Code and ErrorInfo.reason of the error that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata())
        info = error_details_pb2.ErrorInfo()
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        assert status.details[0].Unpack(info) and info.domain == "optistore"
        return [error.code().name, info.reason]
    raise AssertionError("no error came")


def main(address):
    saved = save_and_resume(address)
    stub = rpc.StorageServiceStub(grpc.insecure_channel(address))
    whole = load(stub)
    part = load(stub, columns=["text", "x"], first_row=1234, row_count=100)
    texts = [text if there else None for text, there in zip(TEXT, THERE)]
    print(
        json.dumps(
            {
                "saved": saved,
                "whole": same(whole["x"], X) and same(whole["n"], N) and same(whole["ok"], OK) and whole["text"] == texts,
                "part": list(part) == ["text", "x"] and same(part["x"], X[1234:1334]) and part["text"] == texts[1234:1334],
                "listed": [result.key for result in stub.ListResults(pb.ListResultsRequest(tags={"solver": "python"})).results],
                "errors": [
                    reason(lambda: stub.GetResult(pb.GetResultRequest(key="python/none"))),
                    reason(lambda: stub.GetResult(pb.GetResultRequest(key="../python"))),
                    reason(lambda: load(stub, columns=["y"])),
                    reason(lambda: list(stub.SaveResult(iter([
                        pb.SaveResultRequest(open=pb.SaveOpen(key="python/gap", problem=PROBLEM)),
                        pb.SaveResultRequest(batch=batch(10, 20)),
                    ])))),
                ],
            }
        )
    )


main(sys.argv[1])
