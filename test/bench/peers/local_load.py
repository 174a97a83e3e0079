"""Loads a result over the Unix socket from the daemon's files, into numpy: prints a line of JSON for each figure. See ../parts/local-files.ts.

    python local_load.py unix:SOCKET KEY

The stubs are those that grpcio-tools makes of proto/; their folder is in PYTHONPATH.
"""

import json
import mmap
import os
import sys
import time
import zlib

import grpc
import numpy as np

from optistore.v1 import problem_pb2, storage_service_pb2, storage_service_pb2_grpc

PLACE = np.dtype([("at", "<u8"), ("bytes", "<u4"), ("crc", "<u4")])
DTYPES = {
    problem_pb2.VALUE_TYPE_FLOAT64: np.dtype("<f8"),
    problem_pb2.VALUE_TYPE_INT64: np.dtype("<i8"),
    problem_pb2.VALUE_TYPE_BOOL: np.dtype("?"),
}


def mapped(told) -> mmap.mmap:
    """The file that blocks lie in: the very one that the daemon means."""
    descriptor = os.open(told.path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino, found.st_size) != (told.device, told.inode, told.file_bytes):
            raise FileNotFoundError(f"{told.path} is not the file that the daemon means")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def blocks(stub, key: str, is_checked: bool = False):
    """Whole blocks of a result of numbers: the first row, and a view of each column. A program would also cut to the rows that it asked
    for, take batches as they come, and load again without local_files where this fails."""
    path, file = None, None
    for response in stub.LoadResult(storage_service_pb2.LoadResultRequest(key=key, local_files=True)):
        kind = response.WhichOneof("message")
        if kind == "header":
            dtypes = [DTYPES[variable.value_type] for variable in response.header.variables]
        elif kind == "batch":
            raise ValueError("rows came as a batch: the daemon has no files of them")
        if kind != "local_blocks":
            continue
        told = response.local_blocks
        if told.path != path:
            path, file = told.path, mapped(told)
        first_row = told.first_row
        # Two of each column: values and validity.
        places = np.frombuffer(told.buffers, PLACE).reshape(len(told.row_counts), len(dtypes), 2)[:, :, 0].tolist()
        for row_count, placed in zip(told.row_counts, places):
            if is_checked:
                for at, length, crc in placed:
                    if zlib.crc32(memoryview(file)[at : at + length]) != crc:
                        raise ValueError(f"rows from {first_row} on fail their checksum")
            yield first_row, [np.frombuffer(file, dtype, row_count, at) for dtype, (at, _, _) in zip(dtypes, placed)]
            first_row += row_count


def views(stub, key: str) -> int:
    return sum(column.nbytes for _, columns in blocks(stub, key) for column in columns)


def checked_views(stub, key: str) -> int:
    return sum(column.nbytes for _, columns in blocks(stub, key, is_checked=True) for column in columns)


def sums(stub, key: str) -> int:
    size, total = 0, 0.0
    for _, columns in blocks(stub, key):
        for column in columns:
            total += column.sum()
            size += column.nbytes
    assert total == total
    return size


def copier():
    """Copies into one contiguous array a column, which the first call makes."""
    whole = []

    def copies(stub, key: str) -> int:
        if not whole:
            result = stub.GetResult(storage_service_pb2.GetResultRequest(key=key)).result
            whole.extend(np.empty(result.row_count, DTYPES[variable.value_type]) for variable in result.problem.variables)
        for first_row, columns in blocks(stub, key):
            for target, column in zip(whole, columns):
                target[first_row : first_row + len(column)] = column
        return sum(column.nbytes for column in whole)

    return copies


COPY = copier()
WAYS = [
    ("views", "as views", views),
    ("checked", "as views, checksums checked", checked_views),
    ("sums", "as views, every value summed", sums),
    ("copies", "copied into one new array a column", COPY),
    ("copies_again", "copied into one array a column that was there", COPY),
]

# 4 GB/s into numpy: what a program has then, and what it has read every value of.
AIM = {"aim": "≥ 4,000"}
AIMS = {"views": AIM, "sums": AIM}


def main(address: str, key: str) -> None:
    options = [("grpc.max_receive_message_length", 4 << 20)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub = storage_service_pb2_grpc.StorageServiceStub(channel)
        grpc.channel_ready_future(channel).result(timeout=10)
        for name, what, load in WAYS:
            started = time.perf_counter()
            size = load(stub, key)
            value = size / 1e6 / (time.perf_counter() - started)
            figure = {"id": f"local_numpy_{name}", "what": f"local files into numpy: {what}", "unit": "MB/s"}
            print(json.dumps({**figure, **AIMS.get(name, {}), "value": value}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
