"""Batches of rows to and from the wire, each value copied once.

The classes that protoc makes copy a field of bytes three times on its way: what is written and read here is the same, and
the tests hold it against those classes. All other messages go through them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ._columns import DTYPES, Chunk, Column
from .v1.problem_pb2 import VALUE_TYPE_BOOL, VALUE_TYPE_FLOAT64, VALUE_TYPE_INT64, VALUE_TYPE_STRING, Variable

_LENGTH_DELIMITED = 2
_FIXED32 = 5
#: Fields of Column by type of values.
_FIELDS = {VALUE_TYPE_FLOAT64: 1, VALUE_TYPE_INT64: 2, VALUE_TYPE_BOOL: 3, VALUE_TYPE_STRING: 4}
_TYPES = {number: value_type for value_type, number in _FIELDS.items()}
_BATCH_FIELD = 2


class WireError(Exception):
    """A message is not what the contract says."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def encode_batch(variables: Sequence[Variable], first_row: int, chunk: Chunk) -> bytes:
    """A SaveResultRequest with these rows."""
    parts: list[Any] = []
    length = 0
    crc = 0
    for variable, column in zip(variables, chunk.columns, strict=True):
        pieces, size, crc = _encode_column(variable, column, crc)
        head = _head(3, size)
        parts.append(head)
        parts += pieces
        length += len(head) + size
    begin = _varint(1 << 3) + _varint(first_row) + _varint(2 << 3) + _varint(chunk.row_count)
    end = _varint(4 << 3 | _FIXED32) + crc.to_bytes(4, "little")
    return b"".join([_head(_BATCH_FIELD, len(begin) + length + len(end)), begin, *parts, end])


def _encode_column(variable: Variable, column: Column, crc: int) -> tuple[list[Any], int, int]:
    values = column.values.data.cast("B") if column.values.size > 0 else memoryview(b"")
    crc = zlib.crc32(values, crc)
    number = _FIELDS[variable.value_type]
    if column.utf8 is None:
        pieces: list[Any] = [_head(number, len(values)), values]
    else:
        crc = zlib.crc32(column.utf8, crc)
        offsets, text = _head(1, len(values)), _head(2, len(column.utf8))
        inner = len(offsets) + len(values) + len(text) + len(column.utf8)
        pieces = [_head(number, inner), offsets, values, text, column.utf8]
    if column.valid is not None:
        validity = np.packbits(column.valid, bitorder="little").tobytes()
        crc = zlib.crc32(validity, crc)
        pieces += [_head(5, len(validity)), validity]
    return pieces, sum(map(len, pieces)), crc


@dataclass
class WireColumn:
    """A column where it lies in its message."""

    value_type: int = 0
    values: memoryview = field(default_factory=lambda: memoryview(b""))
    utf8: memoryview = field(default_factory=lambda: memoryview(b""))
    validity: memoryview = field(default_factory=lambda: memoryview(b""))
    #: Bits of ``validity`` ahead of the first row.
    bits_before: int = 0

    def numbers(self) -> npt.NDArray[Any]:
        """A view of the message, which need not be aligned."""
        return np.frombuffer(self.values, DTYPES[self.value_type])

    def strings(self, row_count: int) -> list[str]:
        """Each decoded."""
        ends = np.frombuffer(self.values, "<u4").tolist()
        text = self.utf8
        return [str(text[ends[i] : ends[i + 1]], "utf-8") for i in range(row_count)]

    def valid(self, row_count: int) -> npt.NDArray[np.bool_] | None:
        """Which values are there; None: all."""
        if len(self.validity) == 0:
            return None
        bits = np.frombuffer(self.validity, "u1")
        before = self.bits_before
        return np.unpackbits(bits, count=before + row_count, bitorder="little").view(np.bool_)[before:]


@dataclass
class WireBatch:
    """A RowBatch whose columns lie where they came."""

    first_row: int = 0
    row_count: int = 0
    columns: list[WireColumn] = field(default_factory=list)
    crc32: int | None = None
    row_numbers: memoryview | None = None


def batch_in(message: bytes) -> memoryview | None:
    """The RowBatch of a LoadResultResponse; None where it is another message."""
    if len(message) == 0 or message[0] != (_BATCH_FIELD << 3 | _LENGTH_DELIMITED):
        return None
    length, at = _read_varint(memoryview(message), 1)
    if at + length != len(message):
        return None
    return memoryview(message)[at:]


def decode_batch(view: memoryview) -> WireBatch:
    """Takes a RowBatch apart. WireError."""
    batch = WireBatch()
    at = 0
    while at < len(view):
        number, wire_type, at = _tag(view, at)
        if wire_type == _LENGTH_DELIMITED:
            part, at = _part(view, at)
            if number == 3:
                batch.columns.append(_decode_column(part))
            elif number == 5:
                batch.row_numbers = part
        elif wire_type == 0:
            value, at = _read_varint(view, at)
            if number == 1:
                batch.first_row = value
            elif number == 2:
                batch.row_count = value
        else:
            if number == 4:
                batch.crc32 = int.from_bytes(view[at : at + 4], "little")
            at = _skipped(view, at, wire_type)
    return batch


def _decode_column(view: memoryview) -> WireColumn:
    column = WireColumn()
    at = 0
    while at < len(view):
        number, wire_type, at = _tag(view, at)
        if wire_type != _LENGTH_DELIMITED:
            at = _skipped(view, at, wire_type)
            continue
        part, at = _part(view, at)
        if number in _TYPES:
            column.value_type = _TYPES[number]
            if column.value_type == VALUE_TYPE_STRING:
                column.values, column.utf8 = _decode_strings(part)
            else:
                column.values = part
        elif number == 5:
            column.validity = part
    return column


def _decode_strings(view: memoryview) -> tuple[memoryview, memoryview]:
    offsets = utf8 = memoryview(b"")
    at = 0
    while at < len(view):
        number, wire_type, at = _tag(view, at)
        if wire_type != _LENGTH_DELIMITED:
            at = _skipped(view, at, wire_type)
            continue
        part, at = _part(view, at)
        if number == 1:
            offsets = part
        elif number == 2:
            utf8 = part
    return offsets, utf8


def check_batch(batch: WireBatch, variables: Sequence[Variable]) -> None:
    """WireError where a batch does not fit its columns, or was damaged on the way."""
    n = batch.row_count
    if len(batch.columns) != len(variables):
        raise WireError(f"the batch at row {batch.first_row} has {len(batch.columns)} columns instead of {len(variables)}")
    crc = 0
    for variable, column in zip(variables, batch.columns, strict=True):
        value_type = variable.value_type
        wanted = (n + 1) * 4 if value_type == VALUE_TYPE_STRING else n * DTYPES[value_type].itemsize
        # Of no rows there may be no bytes at all, and so no type.
        is_typed = column.value_type == value_type or (column.value_type == 0 and wanted == 0)
        if not is_typed or len(column.values) != wanted or len(column.validity) not in (0, (n + 7) // 8):
            raise WireError(f'the batch at row {batch.first_row} does not fit its {n} rows: "{variable.name}"')
        if value_type == VALUE_TYPE_STRING:
            offsets = np.frombuffer(column.values, "<u4")
            if offsets[0] != 0 or offsets[-1] != len(column.utf8) or (offsets[1:] < offsets[:-1]).any():
                raise WireError(f'the batch at row {batch.first_row} has wrong offsets: "{variable.name}"')
        for buffer in (column.values, column.utf8, column.validity):
            crc = zlib.crc32(buffer, crc)
    # Loads always have one.
    if crc != batch.crc32:
        raise WireError(f"the batch at row {batch.first_row} fails its checksum: it was damaged on the way")


def _tag(view: memoryview, at: int) -> tuple[int, int, int]:
    tag, at = _read_varint(view, at)
    return tag >> 3, tag & 7, at


def _part(view: memoryview, at: int) -> tuple[memoryview, int]:
    length, at = _read_varint(view, at)
    if at + length > len(view):
        raise WireError("a message is cut off")
    return view[at : at + length], at + length


def _skipped(view: memoryview, at: int, wire_type: int) -> int:
    if wire_type == 0:
        return _read_varint(view, at)[1]
    if wire_type == _LENGTH_DELIMITED:
        return _part(view, at)[1]
    if wire_type in (1, _FIXED32):
        return at + (8 if wire_type == 1 else 4)
    raise WireError(f"a field has the wire type {wire_type}")


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise WireError("a number is cut off")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
