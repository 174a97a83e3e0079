"""A save as its client knows it: what was appended, sent and acknowledged. Does nothing by itself and waits for nothing."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import grpc

from ._columns import Appended, Chunk, Column, RowGatherer, Valid, chunk_of, cut, is_row, joined
from ._wire import encode_batch
from .errors import OptistoreError
from .v1.result_pb2 import Outcome, Result, ResultSet
from .v1.storage_service_pb2 import SaveCommit, SaveFlush, SaveOpen, SaveOpened, SaveResultRequest, SaveResultResponse

MESSAGE_BYTES = 1024 * 1024
#: Bytes of rows that may wait for their ack; ``append`` waits beyond.
UNACKED_BYTES_MAX = 32 * 1024 * 1024
#: Bytes of rows that may wait for a stream that takes them.
UNSENT_BYTES_MAX = 4 * MESSAGE_BYTES
#: Rows that have at least so many bytes are a message by themselves.
GATHER_BYTES_MAX = MESSAGE_BYTES // 8
#: How long few rows wait for company before they are sent.
LINGER_S = 0.01


@dataclass
class _Message:
    end_row: int
    content: bytes


class Upload:
    """Which message comes next, and what each answer means."""

    def __init__(self, request: SaveOpen, on_ack: Callable[[int], object] | None = None) -> None:
        self._open = request
        self._variables = list(request.problem.variables)
        self._on_ack = on_ack
        self._messages: deque[_Message] = deque()
        #: The row behind those that are in messages, or were.
        self._encoded_to = 0
        #: The row behind those that any stream was given.
        self._sent_to = 0
        self._sent = 0
        self._sent_bytes = 0
        self._unacked_bytes = 0
        self._rows = RowGatherer(self._variables)
        self._chunks: list[Chunk] = []
        self._chunk_bytes = 0
        self._waiting_since = 0.0
        #: Rows are on their way from one place to the next; seen from outside, one who moved them was interrupted.
        self._is_torn = False
        self._wants_flush = False
        self._commit: SaveCommit | None = None
        self._commit_sent = False
        #: A stream runs, and has answered.
        self.is_open = False
        #: A stream has answered at some time.
        self.was_opened = False
        self.is_volatile = False
        #: Rows that were appended, but for those that are gathered one by one.
        self._settled = 0
        self.acked = 0
        self.committed: Result | None = None

    @property
    def upload_id(self) -> str:
        """With it the run is resumed."""
        return self._open.upload_id

    @property
    def appended(self) -> int:
        """Number of the row that comes next."""
        return self._settled + self._rows.row_count

    @property
    def open_request(self) -> bytes:
        """The first message of each stream."""
        return _serialized(SaveResultRequest(open=self._open))

    @property
    def has_work(self) -> bool:
        """Whether there is anything to send."""
        return self._wants_flush or self._commit is not None or self._has_waiting or self._sent < len(self._messages)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits for its ack."""
        return not self._messages and not self._has_waiting

    @property
    def has_room(self) -> bool:
        """Whether more may be appended."""
        waiting = self._chunk_bytes + self._rows.byte_length
        if self._unacked_bytes + waiting > UNACKED_BYTES_MAX:
            return False
        # While no stream takes them, rows are kept as far as they may.
        return not self.is_open or self._unacked_bytes - self._sent_bytes <= UNSENT_BYTES_MAX

    @property
    def _has_waiting(self) -> bool:
        return bool(self._chunks) or self._rows.row_count > 0

    def append(self, data: Appended) -> None:
        """Adds rows. TypeError or ValueError that names what does not fit; nothing is added then."""
        if self.committed is not None:
            raise OptistoreError(
                f"Upload {self.upload_id} is committed and takes no more rows.",
                grpc.StatusCode.FAILED_PRECONDITION,
                "UPLOAD_COMMITTED",
            )
        if self._commit is not None:
            raise ValueError(f"the commit of upload {self.upload_id} is under way: it takes no more rows")
        self._check_whole()
        had_waiting = self._has_waiting
        if isinstance(data, Mapping) and is_row(data):
            self._rows.add(self._rows.checked(data))
        else:
            chunk = chunk_of(self._variables, data)
            if chunk.row_count == 0:
                return
            self._take(chunk)
        if not had_waiting:
            self._waiting_since = time.monotonic()
        if self._rows.byte_length + self._chunk_bytes >= MESSAGE_BYTES:
            self._close_waiting()

    def _check_whole(self) -> None:
        """OptistoreError where an append was interrupted, as by Ctrl-C, while it moved rows: which, nobody knows."""
        if self._is_torn:
            raise self.with_hint(
                OptistoreError(f"An append to upload {self.upload_id} was interrupted half way.", grpc.StatusCode.ABORTED)
            )

    def _take(self, chunk: Chunk) -> None:
        if chunk.byte_length >= GATHER_BYTES_MAX:
            self._close_waiting()
            messages = self._encoded(chunk)
            with self._moving():
                self._settled += chunk.row_count
                self._give(messages)
            return
        gathered = self._rows.chunk()
        # The caller may use its arrays again.
        own = Chunk(chunk.row_count, [Column(c.values.copy(), c.utf8, _copied(c.valid)) for c in chunk.columns])
        with self._moving():
            self._settled += gathered.row_count + own.row_count
            self._chunks += [gathered, own] if gathered.row_count > 0 else [own]
            self._chunk_bytes += gathered.byte_length + own.byte_length
            self._rows.clear()

    def _close_waiting(self) -> None:
        gathered = self._rows.chunk()
        chunks = [*self._chunks, gathered] if gathered.row_count > 0 else self._chunks
        if not chunks:
            return
        messages = self._encoded(joined(chunks))
        with self._moving():
            self._settled += gathered.row_count
            self._chunks, self._chunk_bytes = [], 0
            self._rows.clear()
            self._give(messages)

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        """While rows go from one place to another: all is made ready before, so that this is short."""
        self._is_torn = True
        yield
        self._is_torn = False

    def _encoded(self, chunk: Chunk) -> list[_Message]:
        messages: list[_Message] = []
        end = self._encoded_to
        for part in cut(chunk, MESSAGE_BYTES):
            content = encode_batch(self._variables, end, part)
            end += part.row_count
            messages.append(_Message(end, content))
        return messages

    def _give(self, messages: list[_Message]) -> None:
        self._messages += messages
        self._encoded_to = messages[-1].end_row
        self._unacked_bytes += sum(len(message.content) for message in messages)

    def linger_s(self) -> float | None:
        """Seconds until what waits is to be sent; None where nothing waits."""
        if not self._has_waiting:
            return None
        if self._wants_flush or self._commit is not None:
            return 0.0
        return max(self._waiting_since + LINGER_S - time.monotonic(), 0.0)

    def next_message(self) -> bytes | None:
        """What is to be sent next; it counts as sent."""
        if not self.is_open:
            return None
        self._check_whole()
        if self._sent == len(self._messages) and self._has_waiting and self.linger_s() == 0:
            self._close_waiting()
        if self._sent < len(self._messages):
            message = self._messages[self._sent]
            self._sent += 1
            self._sent_bytes += len(message.content)
            self._sent_to = max(self._sent_to, message.end_row)
            return message.content
        if self._has_waiting:
            return None
        if self._wants_flush:
            self._wants_flush = False
            return _serialized(SaveResultRequest(flush=SaveFlush()))
        if self._commit is not None and not self._commit_sent:
            self._commit_sent = True
            self._commit.row_count = self.appended
            return _serialized(SaveResultRequest(commit=self._commit))
        return None

    def flush(self) -> int:
        """Asks for an ack; the number of rows that it has to reach."""
        if self.acked < self.appended:
            self._wants_flush = True
        return self.appended

    def commit(self, outcome: Outcome, result_sets: Sequence[ResultSet]) -> None:
        """Asks for the commit."""
        if self.committed is None:
            self._commit = SaveCommit(outcome=outcome, result_sets=result_sets)
            self._commit_sent = False

    def received(self, response: SaveResultResponse) -> bool:
        """Takes an answer in; gives whether the save is further than it was.

        It is not where a stream is opened for rows: each one may break on them.
        """
        before = self.acked
        kind = response.WhichOneof("message")
        if kind == "opened":
            self._resume(response.opened)
        elif kind == "ack":
            self._ack(response.ack.durable_row_count)
        elif kind == "committed":
            self.committed = response.committed.result
            self._commit = None
            self._ack(self.appended)
        return self.acked > before or (self.is_empty and not self.has_work)

    def _resume(self, opened: SaveOpened) -> None:
        if opened.next_row < self.acked:
            raise OptistoreError(
                f"The daemon has {opened.next_row} rows of upload {self.upload_id}, but had acknowledged {self.acked}: "
                "its data was lost or replaced.",
                grpc.StatusCode.DATA_LOSS,
            )
        # After the first answer nobody else adds rows, but who has opened the upload meanwhile. Where it has what was appended
        # here since, that has the numbers of the other one's rows, and would be taken for known.
        if self.was_opened and opened.next_row > self._sent_to:
            raise OptistoreError(
                f"Upload {self.upload_id} has {opened.next_row} rows, where this writer has sent {self._sent_to}: another one "
                f"has taken it over. {self.appended - self.acked} rows that were appended here are not in it.",
                grpc.StatusCode.ABORTED,
                "UPLOAD_TAKEN_OVER",
            )
        if not self.was_opened:
            self._open.upload_id = opened.upload_id
        if opened.next_row > self._sent_to:
            self._encoded_to = self._sent_to = self._settled = opened.next_row
        self._ack(opened.next_row)
        self._send_again()
        self.is_volatile = opened.volatile
        self.is_open = self.was_opened = True
        if opened.HasField("committed") and self._commit is None:
            if self.appended > opened.next_row:
                raise OptistoreError(
                    f"Upload {self.upload_id} was committed elsewhere with {opened.next_row} rows: "
                    f"{self.appended - opened.next_row} that were appended here are not in it.",
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "UPLOAD_COMMITTED",
                )
            self.committed = opened.committed

    def _ack(self, rows: int) -> None:
        if rows <= self.acked:
            return
        self.acked = rows
        while self._messages and self._messages[0].end_row <= rows:
            length = len(self._messages.popleft().content)
            self._unacked_bytes -= length
            # What another stream had sent may be acked before this one was given it.
            if self._sent > 0:
                self._sent -= 1
                self._sent_bytes -= length
        if self._on_ack is not None:
            self._on_ack(rows)

    def broke(self, error: OptistoreError, is_closed: bool) -> bool:
        """A stream ended with an error; what is not acked goes into the next one. Gives whether that is to be opened now.

        Raises the error where none is to follow.
        """
        self.is_open = False
        self._send_again()
        # Before the first answer nothing is under way: the caller is told at once.
        if not error.is_retryable or is_closed or not self.was_opened:
            raise error
        # One that ended as idle is opened again when there is something to send.
        return error.reason != "STREAM_IDLE" or self.has_work or not self.is_empty

    def _send_again(self) -> None:
        self._sent = self._sent_bytes = 0
        self._commit_sent = False

    def with_hint(self, error: OptistoreError) -> OptistoreError:
        """The error, and how to go on."""
        message = f"{error.message} {self.acked} rows are safe; resume with upload id {self.upload_id}."
        hinted = OptistoreError(message, error.code, error.reason, error.metadata)
        hinted.__cause__ = error
        return hinted


def _serialized(request: SaveResultRequest) -> bytes:
    content: bytes = request.SerializeToString()
    return content


def _copied(valid: Valid | None) -> Valid | None:
    return None if valid is None else valid.copy()


class OfUpload:
    """What a writer of either kind tells of its save."""

    _upload: Upload

    @property
    def upload_id(self) -> str:
        """Names the upload: with it the run is resumed after a restart of the solver."""
        return self._upload.upload_id

    @property
    def next_row(self) -> int:
        """Number of the row that the next append begins with; after a resume, the number of rows that are there."""
        return self._upload.appended

    @property
    def durable_row_count(self) -> int:
        """Rows that survive a crash of everything."""
        return self._upload.acked

    @property
    def is_volatile(self) -> bool:
        """The store keeps rows in memory: nothing of this save survives a crash of the daemon."""
        return self._upload.is_volatile

    @property
    def committed(self) -> Result | None:
        """The result, once committed; there from the beginning when the upload was committed before."""
        return self._upload.committed

    def _note_on(self, error: BaseException | None) -> None:
        """Says, on what a block raised, what is safe and how to go on."""
        if error is not None and self.committed is None and hasattr(error, "add_note"):
            error.add_note(f"optistore: {self.durable_row_count} rows are safe; resume with upload id {self.upload_id!r}.")
