"""A load as its client knows it: what came, and what a broken one goes on with. Waits for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from ._columns import DTYPES
from ._local_files import LocalFiles
from ._wire import WireBatch, WireColumn, WireError, batch_in, check_batch, decode_batch
from .errors import OptistoreError
from .rows import Rows
from .v1.problem_pb2 import VALUE_TYPE_STRING, Variable
from .v1.result_pb2 import Result
from .v1.storage_service_pb2 import LoadHeader, LoadResultRequest, LoadResultResponse


class Download:
    """Takes the messages of a load, over all calls that it needs."""

    def __init__(self, request: LoadResultRequest) -> None:
        self._request = request
        self.header: LoadHeader | None = None
        self.committed: Result | None = None
        self._next_row = 0
        self._end = 0
        self._is_whole = False
        self._files = LocalFiles()
        self._table: _Table | None = None

    @property
    def is_follow(self) -> bool:
        """Whether it tails a save."""
        return self._request.follow

    def next_request(self) -> LoadResultRequest:
        """The request of the first call, or of one that goes on."""
        self._is_whole = False
        if self.header is None:
            return self._request
        request = LoadResultRequest()
        request.CopyFrom(self._request)
        request.first_row = self._next_row
        if self.is_follow:
            request.upload_id = self.header.result.upload_id or self._request.upload_id
        else:
            request.row_count = self._end - self._next_row
            request.revision = self.header.result.revision
        return request

    def take(self, message: bytes) -> Iterator[WireBatch]:
        """Takes a message in; gives the rows that it has, checked.

        OptistoreError where they do not fit, LocalFilesUnusable where they can't be read from the daemon's files.
        """
        try:
            view = batch_in(message)
            if view is not None:
                batch = self._batch(view)
                if batch is not None:
                    yield batch
                return
            response = LoadResultResponse.FromString(message)
            if self.header is None and not response.HasField("header"):
                raise WireError("it does not begin with a header")
        except (WireError, DecodeError) as error:
            raise OptistoreError(
                f"The load of {self._request.key!r} can't be used: {error}.", grpc.StatusCode.DATA_LOSS
            ) from error
        kind = response.WhichOneof("message")
        if kind == "header" and self.header is None:
            self.header = response.header
            self._next_row = response.header.first_row
            self._end = response.header.first_row + response.header.row_count
        elif kind == "trailer":
            self._is_whole = True
            if response.trailer.HasField("result"):
                self.committed = response.trailer.result
        elif kind == "local_blocks" and self.header is not None:
            for batch in self._files.read(response.local_blocks, self.header.variables, self._next_row, self._end):
                self._next_row += batch.row_count
                yield batch

    def without_files(self) -> None:
        """The daemon's files can't be read: its own stream tells what is damaged, or gives another copy's rows."""
        self._request.local_files = False

    def _batch(self, view: memoryview) -> WireBatch | None:
        """A batch, checked; None where it is a sign of life. WireError."""
        if self.header is None:
            raise WireError("it does not begin with a header")
        batch = decode_batch(view)
        # Of a save that is followed, a batch without rows is a sign of life.
        if batch.row_count == 0 and self.is_follow:
            return None
        if batch.first_row != self._next_row:
            raise WireError(f"row {batch.first_row} came where row {self._next_row} is next")
        if not self.is_follow and batch.first_row + batch.row_count > self._end:
            raise WireError(f"{batch.row_count} rows from row {batch.first_row} came where it ends at row {self._end}")
        check_batch(batch, self.header.variables)
        numbers = None if batch.row_numbers is None else len(batch.row_numbers)
        if numbers != (batch.row_count * 8 if self._has_row_numbers else None):
            raise WireError(f"the batch at row {batch.first_row} has {numbers} bytes of row numbers")
        self._next_row += batch.row_count
        return batch

    def ended(self) -> None:
        """The call ended well. OptistoreError where rows are lacking."""
        if not self._is_whole or (not self.is_follow and self._next_row != self._end):
            raise OptistoreError("The load ended before its last row.", grpc.StatusCode.UNAVAILABLE)

    def may_go_on(self, error: OptistoreError) -> bool:
        """Whether another call goes on where this one broke."""
        # Before the header nothing is under way: the caller is told at once.
        if self.header is None:
            return False
        # An upload without a durable row is forgotten with its daemon; its writer opens it again.
        had_no_rows = self.header.result.row_count == 0 and self._next_row == self.header.first_row
        is_forgotten = self.is_follow and error.reason == "UPLOAD_NOT_FOUND" and had_no_rows
        return error.is_retryable or is_forgotten

    @property
    def known_header(self) -> LoadHeader:
        """The header of a load that has begun."""
        assert self.header is not None, "the header comes first"
        return self.header

    def rows_of(self, batch: WireBatch) -> Rows:
        """A batch as the caller gets it."""
        header = self.known_header
        columns = [
            _values_of(variable, column, batch.row_count)
            for variable, column in zip(header.variables, batch.columns, strict=True)
        ]
        valid = [column.valid(batch.row_count) for column in batch.columns]
        row_numbers = None if batch.row_numbers is None else np.frombuffer(batch.row_numbers, "<u8")
        return Rows(header, batch.first_row, batch.row_count, columns, valid, row_numbers)

    def keep(self, batch: WireBatch) -> None:
        """Copies a batch to those before it, for ``rows``."""
        self._kept.add(batch)

    def rows(self) -> Rows:
        """All rows that were kept."""
        return self._kept.rows()

    @property
    def _has_row_numbers(self) -> bool:
        """Of a set, and of a sample, the rows are told by their numbers."""
        return self._request.result_set != "" or self.known_header.HasField("sample")

    @property
    def _kept(self) -> _Table:
        if self._table is None:
            self._table = _Table(self.known_header, self._has_row_numbers)
        return self._table


class Followed:
    """What a follower of either kind tells of the save."""

    _download: Download

    @property
    def upload(self) -> Result | None:
        """The save as it was when following began; None before."""
        return None if self._download.header is None else self._download.header.result

    @property
    def committed(self) -> Result | None:
        """What the save was committed as, once the iteration has come to its end."""
        return self._download.committed


class _Table:
    """All rows of a load, which its batches are copied into one by one."""

    def __init__(self, header: LoadHeader, has_row_numbers: bool) -> None:
        self._header = header
        self._values: list[Any] = [
            np.empty(header.row_count, object if v.value_type == VALUE_TYPE_STRING else DTYPES[v.value_type])
            for v in header.variables
        ]
        self._valid: list[Any] = [None] * len(self._values)
        self._row_numbers = np.empty(header.row_count, np.uint64) if has_row_numbers else None
        self._at = 0

    def add(self, batch: WireBatch) -> None:
        """The next rows."""
        n = batch.row_count
        here = slice(self._at, self._at + n)
        for i, column in enumerate(batch.columns):
            values = self._values[i]
            if values.dtype == object:
                values[here] = column.strings(n)
            elif n > 0:
                values[here] = column.numbers()
            there = column.valid(n)
            if there is not None:
                if self._valid[i] is None:
                    self._valid[i] = np.ones(self._header.row_count, np.bool_)
                self._valid[i][here] = there
        if self._row_numbers is not None and batch.row_numbers is not None:
            self._row_numbers[here] = np.frombuffer(batch.row_numbers, "<u8")
        self._at += n

    def rows(self) -> Rows:
        """All of them."""
        return Rows(self._header, self._header.first_row, self._header.row_count, self._values, self._valid, self._row_numbers)


def _values_of(variable: Variable, column: WireColumn, row_count: int) -> Any:
    if variable.value_type == VALUE_TYPE_STRING:
        values = np.empty(row_count, object)
        values[:] = column.strings(row_count)
        return values
    if row_count == 0:
        return np.empty(0, DTYPES[variable.value_type])
    numbers = column.numbers()
    # What is not aligned may only be read by numpy itself.
    return numbers if numbers.flags.aligned else numbers.copy()
