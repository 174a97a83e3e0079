"""Loads rows at the Unix socket from the daemon's files, mapped: see docs/protocol.md."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator

import numpy as np

from optistore.v1 import problem_pb2, storage_service_pb2, storage_service_pb2_grpc
from optistore_client import DEADLINE_S, Values, unpack

PLACE = np.dtype([("at", "<u8"), ("bytes", "<u4"), ("crc", "<u4")])
DTYPES = {
    problem_pb2.VALUE_TYPE_FLOAT64: "<f8",
    problem_pb2.VALUE_TYPE_INT64: "<i8",
    problem_pb2.VALUE_TYPE_BOOL: "?",
}


class Unusable(Exception):
    """The daemon's files can't be read here: load without `local_files` instead."""


def load_local(stub: storage_service_pb2_grpc.StorageServiceStub, key: str, **request) -> Iterator[tuple[int, dict[str, Values]]]:
    """Consecutive rows: the number of the first one, and the columns. Numbers are views of the daemon's files."""
    told = storage_service_pb2.LoadResultRequest(key=key, local_files=True, **request)
    path, file = None, None
    for response in stub.LoadResult(told, timeout=DEADLINE_S):
        kind = response.WhichOneof("message")
        if kind == "header":
            variables = response.header.variables
            first, end = response.header.first_row, response.header.first_row + response.header.row_count
        elif kind == "batch":
            batch = response.batch
            columns = (unpack(column, batch.row_count) for column in batch.columns)
            yield batch.first_row, {variable.name: values for variable, values in zip(variables, columns)}
        elif kind == "local_blocks":
            blocks = response.local_blocks
            if blocks.path != path:
                path, file = blocks.path, mapped(blocks)
            first_row = blocks.first_row
            places = iter(np.frombuffer(blocks.buffers, PLACE))
            for row_count in blocks.row_counts:
                columns = {variable.name: values_at(file, places, variable, row_count) for variable in variables}
                # Blocks are whole.
                rows = slice(max(first - first_row, 0), min(end - first_row, row_count))
                yield first_row + rows.start, {name: values[rows] for name, values in columns.items()}
                first_row += row_count


def mapped(blocks: storage_service_pb2.LocalBlocks) -> mmap.mmap:
    """The file that blocks lie in: the very one that the daemon means."""
    try:
        descriptor = os.open(blocks.path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino, found.st_size) != (blocks.device, blocks.inode, blocks.file_bytes):
                raise Unusable(f"{blocks.path} is not the file that the daemon means")
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unusable(str(error)) from error


def values_at(file: mmap.mmap, places: Iterator[np.void], variable: problem_pb2.Variable, row_count: int) -> Values:
    """A column of a block, checked. `places` goes on to the next one's."""
    is_text = variable.value_type == problem_pb2.VALUE_TYPE_STRING
    offsets = np.frombuffer(buffer_at(file, next(places)), "<u4") if is_text else None
    buffer = buffer_at(file, next(places))
    bits = np.frombuffer(buffer_at(file, next(places)), "u1")
    valid = np.unpackbits(bits, count=row_count, bitorder="little").astype(bool) if len(bits) else np.ones(row_count, bool)
    if offsets is None:
        return Values(np.frombuffer(buffer, DTYPES[variable.value_type]), valid)
    return Values([str(buffer[start:stop], "utf-8") for start, stop in zip(offsets[:-1], offsets[1:])], valid)


def buffer_at(file: mmap.mmap, place: np.void) -> memoryview:
    at, length, crc = place.tolist()
    buffer = memoryview(file)[at : at + length]
    if len(buffer) != length or zlib.crc32(buffer) != crc:
        raise Unusable(f"{length} bytes at {at} fail their checksum")
    return buffer
