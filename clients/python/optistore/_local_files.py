"""Rows at a Unix socket, from the daemon's files: mapped, not sent. See LocalBlocks in the contract."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ._columns import DTYPES
from ._wire import WireBatch, WireColumn
from .v1.problem_pb2 import VALUE_TYPE_STRING, Variable
from .v1.storage_service_pb2 import LocalBlocks

_PLACE = np.dtype([("at", "<u8"), ("bytes", "<u4"), ("crc", "<u4")])


class LocalFilesUnusable(Exception):
    """The daemon's files can't be read here; its stream has the same rows."""


class LocalFiles:
    """The file that blocks of a load lie in, mapped: arrays may be views of it for as long as they live."""

    def __init__(self) -> None:
        self._path = ""
        self._file: mmap.mmap | None = None

    def read(self, told: LocalBlocks, variables: Sequence[Variable], first_row: int, end_row: int) -> Iterator[WireBatch]:
        """The blocks' rows, cut to those from ``first_row`` to before ``end_row``, each buffer checked.

        LocalFilesUnusable.
        """
        file = self._mapped(told)
        buffers_per_block = sum(3 if variable.value_type == VALUE_TYPE_STRING else 2 for variable in variables)
        if len(told.buffers) != len(told.row_counts) * buffers_per_block * _PLACE.itemsize:
            raise LocalFilesUnusable(f"the daemon tells {len(told.buffers)} bytes of places")
        places = iter(np.frombuffer(told.buffers, _PLACE).tolist())
        block_row = told.first_row
        for row_count in told.row_counts:
            first, end = max(first_row, block_row), min(end_row, block_row + row_count)
            columns = [_column_at(file, places, v, row_count, first - block_row, end - block_row) for v in variables]
            block_row += row_count
            if first < end:
                yield WireBatch(first, end - first, columns)

    def _mapped(self, told: LocalBlocks) -> memoryview:
        if told.path != self._path or self._file is None:
            self._file, self._path = _map(told), told.path
        return memoryview(self._file)


def _map(told: LocalBlocks) -> mmap.mmap:
    try:
        descriptor = os.open(told.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino, found.st_size) != (told.device, told.inode, told.file_bytes):
                raise LocalFilesUnusable(f"{told.path} is not the file that the daemon means")
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise LocalFilesUnusable(str(error)) from error


def _column_at(file: memoryview, places: Iterator[Any], variable: Variable, row_count: int, first: int, end: int) -> WireColumn:
    """Rows ``first`` to ``end`` of a column of a block."""
    if variable.value_type == VALUE_TYPE_STRING:
        offsets, utf8 = _buffer(file, next(places), (row_count + 1) * 4), _buffer(file, next(places))
        values = offsets[first * 4 : (end + 1) * 4] if first < end else offsets[:4]
    else:
        width = DTYPES[variable.value_type].itemsize
        utf8 = memoryview(b"")
        values = _buffer(file, next(places), row_count * width)[first * width : max(end, first) * width]
    validity = _buffer(file, next(places))
    if len(validity) not in (0, (row_count + 7) // 8):
        raise LocalFilesUnusable(f"the daemon tells a validity of {len(validity)} bytes")
    return WireColumn(variable.value_type, values, utf8, validity, first)


def _buffer(file: memoryview, place: tuple[int, int, int], length_wanted: int | None = None) -> memoryview:
    at, length, crc = place
    buffer = file[at : at + length]
    if len(buffer) != length or length != (length if length_wanted is None else length_wanted):
        raise LocalFilesUnusable(f"the daemon tells a place of {length} bytes at {at}")
    if zlib.crc32(buffer) != crc:
        raise LocalFilesUnusable(f"{length} bytes at {at} fail their checksum")
    return buffer
