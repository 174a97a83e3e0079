"""What is known of results: found, changed, copied, moved between stores, verified and watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import grpc

from . import _calls as calls
from ._calls import Call, OutcomeName, StoreRole
from ._retry import Backoff
from ._transport import Transport
from .errors import OptistoreError
from .row_numbers import RowsOfSet
from .v1.result_pb2 import Result
from .v1.storage_service_pb2 import (
    GetStatusResponse,
    MigrateResultResponse,
    MigrateStoreResponse,
    ReplicateResultsResponse,
    Upload,
    VerifyResultsResponse,
    WatchResultsResponse,
)


class Catalogue:
    """All calls of a client but those that save and load rows."""

    def __init__(self, transport: Transport, retry_s: float) -> None:
        self._transport = transport
        self._retry_s = retry_s

    @property
    def address(self) -> str:
        """Where the daemon is."""
        return self._transport.address

    def get(self, key: str) -> Result:
        """A result's metadata: problem, tags, column summaries, sets, where its copies are."""
        return self._transport.call(calls.get(key))

    def list(
        self,
        prefix: str = "",
        *,
        tags: Mapping[str, str] | None = None,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        on_unreachable: Callable[[list[str]], object] | None = None,
    ) -> Iterator[Result]:
        """Results, page by page as they are iterated.

        Args:
            prefix: Keys that begin with this.
            tags: Only results with all of these.
            filter: Such as ``solver = "NSGA2" AND best.f < 2.5``; see docs/filter.md.
            order_by: ``key``, ``commit_time`` or ``update_time``, with `` desc`` for the reverse.
            page_size: Results a page; 0: 100.
            on_unreachable: Told of stores that could not be asked, so that results may be lacking or old.
        """
        token = ""
        while True:
            page = self._transport.call(calls.list_page(prefix, tags or {}, filter, order_by, page_size, token))
            if page.unreachable and on_unreachable is not None:
                on_unreachable([*page.unreachable])
            yield from page.results
            token = page.next_page_token
            if not token:
                return

    def update(
        self,
        key: str,
        *,
        tags: Mapping[str, str | None] | None = None,
        attributes: Mapping[str, Any] | None = None,
        description: str | None = None,
        outcome: OutcomeName | None = None,
        expected_revision: int | None = None,
    ) -> Result:
        """Changes a result's metadata; what is not given stays. Gives the result as it is then.

        ``tags`` are set one by one, None removes one; ``attributes`` take the place of all that there are.
        """
        return self._transport.call(calls.update(key, tags, attributes, description, outcome, expected_revision))

    def delete(self, key: str, *, expected_revision: int | None = None, backend: StoreRole | None = None) -> int:
        """Deletes a result, or only the copy of one store; gives the deletion's revision, or that of the copy."""
        return self._transport.call(calls.delete(key, expected_revision, backend))

    def put_result_set(
        self,
        key: str,
        name: str,
        rows: RowsOfSet | None = None,
        *,
        operation: Literal["union", "intersection", "difference"] | None = None,
        parents: Sequence[str] = (),
        description: str = "",
        created_by: str = "",
        expected_revision: int | None = None,
    ) -> Result:
        """Makes or replaces a named subset of a result's rows; gives the result as it is now.

        ``rows`` are numbers in ascending order, or a mask of all rows such as ``rows["f"] < 2``; or the set is made by an
        operation on sets of the same result.
        """
        return self._transport.call(
            calls.put_result_set(key, name, rows, operation, parents, description, created_by, expected_revision)
        )

    def delete_result_set(self, key: str, name: str, *, expected_revision: int | None = None) -> Result:
        """Removes a named subset, not its rows; gives the result as it is now."""
        return self._transport.call(calls.delete_result_set(key, name, expected_revision))

    def copy(self, key: str, to_key: str, *, revision: int | None = None, expected_revision: int | None = None) -> Result:
        """Copies a result to another key, which must not exist unless its revision is given; gives the copy."""
        return self._copied(calls.copy(key, to_key, revision, expected_revision, False))

    def move(self, key: str, to_key: str, *, expected_revision: int | None = None) -> Result:
        """Gives a result another key. The old one is deleted once the copy was verified."""
        return self._copied(calls.copy(key, to_key, None, expected_revision, True))

    def _copied(self, call: Call[Any]) -> Result:
        for answer in self._transport.stream(call):
            if answer.HasField("result"):
                result: Result = answer.result
                return result
        raise OptistoreError("The copy ended without a result.", grpc.StatusCode.UNAVAILABLE)

    def migrate(
        self,
        key: str | None = None,
        *,
        from_backend: StoreRole,
        to_backend: StoreRole,
        prefix: str | None = None,
        keep_source: bool = False,
        on_progress: Callable[[MigrateResultResponse], object] | None = None,
    ) -> MigrateResultResponse:
        """Moves or copies a result, or all of a prefix (``prefix=""``: all), from store to store; returns when it is done.

        Each copy is verified before its source is removed. Of many, one that fails is told by the ``failure`` of a message to
        ``on_progress``, and the others go on. Gives the last message, which has the sums.
        """
        return self._transport.last(calls.migrate(key, prefix, from_backend, to_backend, keep_source), on_progress)

    def replicate(
        self, prefix: str = "", *, on_progress: Callable[[ReplicateResultsResponse], object] | None = None
    ) -> ReplicateResultsResponse:
        """Copies to the secondary what it lacks; later changes of these keys are replicated. Gives the last message."""
        return self._transport.last(calls.replicate(prefix), on_progress)

    def migrate_store(self, *, on_progress: Callable[[MigrateStoreResponse], object] | None = None) -> MigrateStoreResponse:
        """Copies everything from the primary to the secondary, so that the two can be swapped. Gives the last message."""
        return self._transport.last(calls.migrate_store(), on_progress)

    def verify(
        self, prefix: str = "", *, backend: StoreRole | None = None, repair: bool = False
    ) -> Iterator[VerifyResultsResponse]:
        """Reads results again from beginning to end, and tells of each copy whether every byte checks."""
        return self._transport.stream(calls.verify(prefix, backend, repair))

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """Saves in progress."""
        token = ""
        while True:
            page = self._transport.call(calls.uploads_page(prefix, token))
            yield from page.uploads
            token = page.next_page_token
            if not token:
                return

    def abort_upload(self, upload_id: str) -> None:
        """Gives up a save in progress and removes its rows."""
        self._transport.call(calls.abort_upload(upload_id))

    def status(self) -> GetStatusResponse:
        """How the daemon is."""
        return self._transport.call(calls.status())

    def watch(
        self, prefix: str = "", *, after_event: int | None = None, include_uploads: bool = False
    ) -> Iterator[WatchResultsResponse]:
        """Tells what happens, as it happens; reconnects by itself and goes on behind the last event.

        ``after_event``: go on behind this event; 0: from the first; None: only what comes from now on. Messages without an
        event say that the watch is alive. Ends when it is left, or the client closed.
        """
        backoff = Backoff(self._retry_s)
        while not self._transport.is_closed:
            try:
                for message in self._transport.stream(calls.watch(prefix, after_event, include_uploads)):
                    backoff.succeeded()
                    after_event = message.event_number
                    yield message
            except OptistoreError as error:
                if self._transport.is_closed:
                    return
                if not error.is_retryable:
                    raise
                time.sleep(backoff.failed(error))
