"""What is known of results: found, changed, copied, moved between stores, verified and watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

import grpc

from .. import _calls as calls
from .._calls import Call, OutcomeName, StoreRole
from .._retry import Backoff
from ..errors import OptistoreError
from ..row_numbers import RowsOfSet
from ..v1.result_pb2 import Result
from ..v1.storage_service_pb2 import (
    GetStatusResponse,
    MigrateResultResponse,
    MigrateStoreResponse,
    ReplicateResultsResponse,
    Upload,
    VerifyResultsResponse,
    WatchResultsResponse,
)
from ._transport import Transport


class Catalogue:
    """All calls of a client but those that save and load rows."""

    def __init__(self, transport: Transport, retry_s: float) -> None:
        self._transport = transport
        self._retry_s = retry_s

    @property
    def address(self) -> str:
        """Where the daemon is."""
        return self._transport.address

    async def get(self, key: str) -> Result:
        """A result's metadata: problem, tags, column summaries, sets, where its copies are."""
        return await self._transport.call(calls.get(key))

    async def list(
        self,
        prefix: str = "",
        *,
        tags: Mapping[str, str] | None = None,
        filter: str = "",
        order_by: str = "",
        page_size: int = 0,
        on_unreachable: Callable[[list[str]], object] | None = None,
    ) -> AsyncIterator[Result]:
        """Results, page by page as they are iterated."""
        token = ""
        while True:
            page = await self._transport.call(calls.list_page(prefix, tags or {}, filter, order_by, page_size, token))
            if page.unreachable and on_unreachable is not None:
                on_unreachable([*page.unreachable])
            for result in page.results:
                yield result
            token = page.next_page_token
            if not token:
                return

    async def update(
        self,
        key: str,
        *,
        tags: Mapping[str, str | None] | None = None,
        attributes: Mapping[str, Any] | None = None,
        description: str | None = None,
        outcome: OutcomeName | None = None,
        expected_revision: int | None = None,
    ) -> Result:
        """Changes a result's metadata; what is not given stays. Gives the result as it is then."""
        return await self._transport.call(calls.update(key, tags, attributes, description, outcome, expected_revision))

    async def delete(self, key: str, *, expected_revision: int | None = None, backend: StoreRole | None = None) -> int:
        """Deletes a result, or only the copy of one store; gives the deletion's revision, or that of the copy."""
        return await self._transport.call(calls.delete(key, expected_revision, backend))

    async def put_result_set(
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
        """Makes or replaces a named subset of a result's rows; gives the result as it is now."""
        return await self._transport.call(
            calls.put_result_set(key, name, rows, operation, parents, description, created_by, expected_revision)
        )

    async def delete_result_set(self, key: str, name: str, *, expected_revision: int | None = None) -> Result:
        """Removes a named subset, not its rows; gives the result as it is now."""
        return await self._transport.call(calls.delete_result_set(key, name, expected_revision))

    async def copy(self, key: str, to_key: str, *, revision: int | None = None, expected_revision: int | None = None) -> Result:
        """Copies a result to another key, which must not exist unless its revision is given; gives the copy."""
        return await self._copied(calls.copy(key, to_key, revision, expected_revision, False))

    async def move(self, key: str, to_key: str, *, expected_revision: int | None = None) -> Result:
        """Gives a result another key. The old one is deleted once the copy was verified."""
        return await self._copied(calls.copy(key, to_key, None, expected_revision, True))

    async def _copied(self, call: Call[Any]) -> Result:
        async for answer in self._transport.stream(call):
            if answer.HasField("result"):
                result: Result = answer.result
                return result
        raise OptistoreError("The copy ended without a result.", grpc.StatusCode.UNAVAILABLE)

    async def migrate(
        self,
        key: str | None = None,
        *,
        from_backend: StoreRole,
        to_backend: StoreRole,
        prefix: str | None = None,
        keep_source: bool = False,
        on_progress: Callable[[MigrateResultResponse], object] | None = None,
    ) -> MigrateResultResponse:
        """Moves or copies a result, or all of a prefix (``prefix=""``: all), from store to store; returns when it is done."""
        return await self._transport.last(calls.migrate(key, prefix, from_backend, to_backend, keep_source), on_progress)

    async def replicate(
        self, prefix: str = "", *, on_progress: Callable[[ReplicateResultsResponse], object] | None = None
    ) -> ReplicateResultsResponse:
        """Copies to the secondary what it lacks; later changes of these keys are replicated. Gives the last message."""
        return await self._transport.last(calls.replicate(prefix), on_progress)

    async def migrate_store(
        self, *, on_progress: Callable[[MigrateStoreResponse], object] | None = None
    ) -> MigrateStoreResponse:
        """Copies everything from the primary to the secondary, so that the two can be swapped. Gives the last message."""
        return await self._transport.last(calls.migrate_store(), on_progress)

    async def verify(
        self, prefix: str = "", *, backend: StoreRole | None = None, repair: bool = False
    ) -> AsyncIterator[VerifyResultsResponse]:
        """Reads results again from beginning to end, and tells of each copy whether every byte checks."""
        async for answer in self._transport.stream(calls.verify(prefix, backend, repair)):
            yield answer

    async def list_uploads(self, prefix: str = "") -> AsyncIterator[Upload]:
        """Saves in progress."""
        token = ""
        while True:
            page = await self._transport.call(calls.uploads_page(prefix, token))
            for upload in page.uploads:
                yield upload
            token = page.next_page_token
            if not token:
                return

    async def abort_upload(self, upload_id: str) -> None:
        """Gives up a save in progress and removes its rows."""
        await self._transport.call(calls.abort_upload(upload_id))

    async def status(self) -> GetStatusResponse:
        """How the daemon is."""
        return await self._transport.call(calls.status())

    async def watch(
        self, prefix: str = "", *, after_event: int | None = None, include_uploads: bool = False
    ) -> AsyncIterator[WatchResultsResponse]:
        """Tells what happens, as it happens; reconnects by itself and goes on behind the last event."""
        backoff = Backoff(self._retry_s)
        while not self._transport.is_closed:
            try:
                async with aclosing(self._transport.stream(calls.watch(prefix, after_event, include_uploads))) as messages:
                    async for message in messages:
                        backoff.succeeded()
                        after_event = message.event_number
                        yield message
            except OptistoreError as error:
                if self._transport.is_closed:
                    return
                if not error.is_retryable:
                    raise
                await asyncio.sleep(backoff.failed(error))
