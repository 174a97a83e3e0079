"""Batches that are written and read by hand are those of the contract's classes."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from optistore._columns import Chunk, chunk_of, cut, joined
from optistore._download import Download
from optistore._wire import WireError, batch_in, check_batch, decode_batch, encode_batch
from optistore.errors import OptistoreError
from optistore.v1.problem_pb2 import ValueType, Variable
from optistore.v1.rows_pb2 import Column, RowBatch
from optistore.v1.storage_service_pb2 import (
    LoadHeader,
    LoadResultRequest,
    LoadResultResponse,
    LoadTrailer,
    RowSample,
    SaveResultRequest,
)

VALUES = {
    ValueType.VALUE_TYPE_FLOAT64: st.floats(allow_nan=True),
    ValueType.VALUE_TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    ValueType.VALUE_TYPE_BOOL: st.booleans(),
    ValueType.VALUE_TYPE_STRING: st.text(st.characters(codec="utf-8"), max_size=20),
}
TYPES = list(VALUES)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Variable], dict[str, list[object]]]:
    """Columns of every type with missing values."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5))
    row_count = draw(st.integers(1, 40))
    variables = [Variable(name=f"c{i}", value_type=value_type) for i, value_type in enumerate(types)]
    columns = {
        v.name: draw(st.lists(st.none() | VALUES[v.value_type], min_size=row_count, max_size=row_count)) for v in variables
    }
    return variables, columns


def content(columns: list[Column]) -> bytes:
    parts = b""
    for column in columns:
        kind = column.WhichOneof("values")
        values = getattr(column, kind) if kind != "string_values" else column.string_values.offsets + column.string_values.utf8
        parts += values + column.validity
    return parts


def values_in(chunk: Chunk, variables: list[Variable]) -> dict[str, list[object]]:
    """What a chunk holds, by way of the wire."""
    request = SaveResultRequest.FromString(encode_batch(variables, 0, chunk))
    batch = decode_batch(memoryview(request.batch.SerializeToString()))
    found: dict[str, list[object]] = {}
    for variable, column in zip(variables, batch.columns, strict=True):
        is_text = variable.value_type == ValueType.VALUE_TYPE_STRING
        values = column.strings(chunk.row_count) if is_text else column.numbers().tolist()
        there = column.valid(chunk.row_count)
        found[variable.name] = [v if there is None or there[i] else None for i, v in enumerate(values)]
    return found


def same(a: object, b: object) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def assert_same(found: dict[str, list[object]], wanted: dict[str, list[object]]) -> None:
    assert list(found) == list(wanted)
    for name in wanted:
        assert len(found[name]) == len(wanted[name])
        assert all(same(a, b) for a, b in zip(found[name], wanted[name], strict=True)), name


@given(tables(), st.integers(0, 2**40))
def test_a_batch_that_is_written_by_hand_is_read_by_the_contracts_class(table, first_row: int) -> None:
    variables, columns = table
    chunk = chunk_of(variables, columns)
    request = SaveResultRequest.FromString(encode_batch(variables, first_row, chunk))
    batch = request.batch
    assert (batch.first_row, batch.row_count, len(batch.columns)) == (first_row, chunk.row_count, len(variables))
    assert batch.crc32 == zlib.crc32(content(list(batch.columns)))
    assert_same(values_in(chunk, variables), columns)


@given(tables(), st.binary(max_size=8), st.booleans())
def test_a_batch_of_the_contracts_class_is_read_by_hand(table, padding: bytes, has_numbers: bool) -> None:
    variables, columns = table
    chunk = chunk_of(variables, columns)
    batch = SaveResultRequest.FromString(encode_batch(variables, 7, chunk)).batch
    for column in batch.columns:
        column.padding = padding
    if has_numbers:
        batch.row_numbers = np.arange(chunk.row_count, dtype="<u8").tobytes()
    view = batch_in(LoadResultResponse(batch=batch).SerializeToString())
    assert view is not None
    decoded = decode_batch(view)
    check_batch(decoded, variables)
    assert (decoded.first_row, decoded.row_count, decoded.crc32) == (7, chunk.row_count, batch.crc32)
    assert (decoded.row_numbers is not None) == has_numbers
    for mine, theirs in zip(decoded.columns, batch.columns, strict=True):
        kind = theirs.WhichOneof("values")
        assert bytes(mine.values) == (theirs.string_values.offsets if kind == "string_values" else getattr(theirs, kind))
        assert bytes(mine.utf8) == theirs.string_values.utf8
        assert bytes(mine.validity) == theirs.validity


@given(tables(), st.integers(1, 400))
def test_rows_that_are_cut_and_joined_stay_the_same(table, bytes_max: int) -> None:
    variables, columns = table
    parts = list(cut(chunk_of(variables, columns), bytes_max))
    assert_same(values_in(joined(parts), variables), columns)


@given(tables(), st.data())
def test_a_message_that_is_cut_or_changed_is_refused_and_never_read_wrongly(table, data: st.DataObject) -> None:
    variables, columns = table
    message = bytearray(encode_batch(variables, 3, chunk_of(variables, columns)))
    good = RowBatch.FromString(SaveResultRequest.FromString(bytes(message)).batch.SerializeToString())
    at = data.draw(st.integers(0, len(message) - 1))
    if data.draw(st.booleans()):
        del message[at:]
    else:
        message[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        view = batch_in(bytes(message))
        if view is None:
            return
        batch = decode_batch(view)
        check_batch(batch, variables)
    except WireError:
        return
    # What passes the checksum has the same values; the first row and the like lie outside of it.
    assert b"".join(bytes(c.values) + bytes(c.utf8) + bytes(c.validity) for c in batch.columns) == content(list(good.columns))


def test_messages_that_are_no_batch_are_left_to_the_contracts_classes() -> None:
    assert batch_in(b"") is None
    assert batch_in(LoadResultResponse(trailer={"row_count": 3}).SerializeToString()) is None
    with pytest.raises(DecodeError):
        LoadResultResponse.FromString(b"\x12\x7f")


@pytest.mark.parametrize(
    "messages",
    [
        [b"garbage"],
        [LoadResultResponse(batch=RowBatch(row_count=1)).SerializeToString()],
        [LoadResultResponse(trailer=LoadTrailer()).SerializeToString()],
        [
            LoadResultResponse(header=LoadHeader(row_count=2)).SerializeToString(),
            LoadResultResponse(batch=RowBatch(row_count=3)).SerializeToString(),
        ],
        # Rows of a sample are told by their numbers, and no others.
        [
            LoadResultResponse(header=LoadHeader(row_count=2, sample=RowSample(row_count=2))).SerializeToString(),
            LoadResultResponse(batch=RowBatch(row_count=2, crc32=0)).SerializeToString(),
        ],
        [
            LoadResultResponse(header=LoadHeader(row_count=2)).SerializeToString(),
            LoadResultResponse(batch=RowBatch(row_count=2, crc32=0, row_numbers=bytes(16))).SerializeToString(),
        ],
    ],
)
def test_a_load_that_is_not_as_the_contract_says_is_an_error_of_its_own(messages: list[bytes]) -> None:
    download = Download(LoadResultRequest(key="k"))
    with pytest.raises(OptistoreError, match="can't be used") as told:
        for message in messages:
            list(download.take(message))
    assert told.value.code is StatusCode.DATA_LOSS
