"""The storage manager of OptiScope's guide, over a daemon: results are whole, as frames of pandas.

Example:
    >>> from optistore.core import OptimizationResult
    >>> from optistore.storage import create_storage_manager
    >>> manager = create_storage_manager(server="127.0.0.1:50051", use_cache=True)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

from google.protobuf.json_format import MessageToDict

from ._calls import StoreRole
from ._connection import Tls
from .client import Client, connect
from .core import ROLES, OptimizationResult
from .errors import OptistoreError
from .row_numbers import RowsOfSet, from_message
from .rows import Rows
from .v1.result_pb2 import ResultSet

__all__ = ["OptimizationResult", "StorageManager", "create_storage_manager"]

#: Why the other stores are asked where the cache is not used.
_FALLBACK = ("BACKEND_UNAVAILABLE", "RESULT_CORRUPT", "RESULT_NOT_FOUND")


def create_storage_manager(
    server: str | None = None,
    *,
    use_cache: bool = True,
    token: str | None = None,
    tls: bool | Tls | None = None,
    insecure: bool | None = None,
) -> StorageManager:
    """Makes a manager of a daemon's stores. Which stores these are, and how large the cache is, its configuration says.

    Args:
        server: ``host:port`` or ``unix:PATH``. None: OPTISTORE_SERVER, else 127.0.0.1:50051.
        use_cache: Results are loaded from the daemon's cache where it has them. False: from the primary; only where that
            fails or has none, from wherever the daemon has them.
        token: As in ``optistore.connect``.
        tls: As in ``optistore.connect``.
        insecure: As in ``optistore.connect``.
    """
    return StorageManager(connect(server, token=token, tls=tls, insecure=insecure), use_cache=use_cache)


class StorageManager:
    """Saves and loads whole results. What fails is an OptistoreError."""

    def __init__(self, client: Client, *, use_cache: bool = True) -> None:
        self._client = client
        self._use_cache = use_cache

    def save_result(
        self,
        key: str,
        result: OptimizationResult,
        replicate: bool | Literal["sync"] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        to_backend: Literal["primary", "cache"] | None = None,
    ) -> int:
        """Saves a result, in the place of what the key had; gives its revision. It is durable then.

        Args:
            key: Where it is kept.
            result: The frames, metadata and sets.
            replicate: Copies it to the secondary: True does not wait for that, ``"sync"`` does. None: as the daemon is
                configured.
            tags: Short labels for finding it.
            to_backend: ``"cache"``: kept in memory alone until it is migrated or deleted.
        """
        problem = result.to_problem()
        frame = result.to_frame()
        writer = self._client.save(
            key, problem, attributes=result.metadata, tags=tags, replicate=replicate, to_backend=to_backend
        )
        try:
            if len(frame) > 0:
                writer.append(frame)
            return writer.commit(result_sets=result.result_sets).revision
        except BaseException:
            # Whole, or not at all: nobody would resume it.
            writer.abandon()
            # It may be gone, as may be the daemon: what is told is why it could not be saved.
            with contextlib.suppress(OptistoreError):
                self._client.abort_upload(writer.upload_id)
            raise
        finally:
            writer.close()

    def load_result(self, key: str, *, revision: int | None = None) -> OptimizationResult:
        """Loads a result, of its newest revision unless another one is asked for."""
        rows = self._load(key, revision)
        frame = rows.to_pandas().reset_index(drop=True)
        names = {role: [v.name for v in rows.variables if v.role == role] for role in ROLES.values()}
        frames: dict[str, Any] = {name: frame[names[role]] for name, role in ROLES.items() if names[role]}
        return OptimizationResult(
            **frames,
            metadata=MessageToDict(rows.result.attributes),
            result_sets={one.name: self._rows_of(rows, one) for one in rows.result.result_sets},
            problem=rows.result.problem,
            key=key,
            revision=rows.result.revision,
        )

    def _load(self, key: str, revision: int | None) -> Rows:
        if self._use_cache:
            return self._client.load(key, revision=revision)
        try:
            return self._client.load(key, revision=revision, backend="primary")
        except OptistoreError as error:
            if error.reason not in _FALLBACK:
                raise
            # The daemon knows what was moved, and what was deleted on purpose.
            return self._client.load(key, revision=revision)

    def _rows_of(self, rows: Rows, one: ResultSet) -> RowsOfSet:
        # Of very many sets the header has no rows.
        if one.HasField("rows") or one.row_count == 0:
            return from_message(one.rows)
        first = [variable.name for variable in rows.variables[:1]]
        chosen = self._client.load(rows.result.key, revision=rows.result.revision, result_set=one.name, columns=first)
        return [] if chosen.row_numbers is None else chosen.row_numbers

    def list_results(self, prefix: str = "") -> list[str]:
        """The keys of results, in their order."""
        return [result.key for result in self._client.list(prefix)]

    def migrate_result(self, key: str, from_backend: StoreRole, to_backend: StoreRole, *, keep_source: bool = False) -> None:
        """Moves or copies a result between stores; the copy is verified before its source is removed."""
        self._client.migrate(key, from_backend=from_backend, to_backend=to_backend, keep_source=keep_source)

    def delete_result(self, key: str) -> None:
        """Deletes a result, everywhere."""
        self._client.delete(key)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def __enter__(self) -> StorageManager:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
