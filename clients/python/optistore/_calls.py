"""The calls of the contract: what each asks, and what of its answer the caller gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import numpy as np
from google.protobuf.message import Message

from .row_numbers import RowsOfSet, to_message
from .v1 import storage_service_pb2 as pb
from .v1.problem_pb2 import Problem
from .v1.result_pb2 import (
    BACKEND_CACHE,
    BACKEND_PRIMARY,
    BACKEND_SECONDARY,
    BACKEND_UNSPECIFIED,
    OUTCOME_FAILED,
    OUTCOME_FINISHED,
    OUTCOME_STOPPED,
    REPLICATION_MODE_ASYNC,
    REPLICATION_MODE_NONE,
    REPLICATION_MODE_SYNC,
    REPLICATION_MODE_UNSPECIFIED,
    SET_OPERATION_DIFFERENCE,
    SET_OPERATION_INTERSECTION,
    SET_OPERATION_UNION,
    Backend,
    Outcome,
    ReplicationMode,
    Result,
    ResultSet,
)

SERVICE = "/optistore.v1.StorageService/"

#: A store, by its place in the daemon.
StoreRole: TypeAlias = Literal["primary", "secondary", "cache"]
#: How a run ended.
OutcomeName: TypeAlias = Literal["finished", "failed", "stopped"]
#: Which rows of a load: a slice, a range or a pair, the end of which is not among them; the end may be None.
RowRange: TypeAlias = slice | range | tuple[int, int | None]

_BACKENDS: dict[str | None, Backend] = {
    None: BACKEND_UNSPECIFIED,
    "primary": BACKEND_PRIMARY,
    "secondary": BACKEND_SECONDARY,
    "cache": BACKEND_CACHE,
}
_OUTCOMES: dict[str, Outcome] = {
    "finished": OUTCOME_FINISHED,
    "failed": OUTCOME_FAILED,
    "stopped": OUTCOME_STOPPED,
}
_OPERATIONS = {
    "union": SET_OPERATION_UNION,
    "intersection": SET_OPERATION_INTERSECTION,
    "difference": SET_OPERATION_DIFFERENCE,
}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call: its name, its request, and what of its answer matters."""

    name: str
    request: Message
    response: type[Any]
    take: Callable[[Any], Answer]


def get(key: str) -> Call[Result]:
    """GetResult."""
    return Call("GetResult", pb.GetResultRequest(key=key), pb.GetResultResponse, lambda answer: answer.result)


def list_page(
    prefix: str, tags: Mapping[str, str], filter: str, order_by: str, page_size: int, page_token: str
) -> Call[pb.ListResultsResponse]:
    """A page of ListResults."""
    request = pb.ListResultsRequest(
        prefix=prefix, tags=tags, filter=filter, order_by=order_by, page_size=page_size, page_token=page_token
    )
    return Call("ListResults", request, pb.ListResultsResponse, _itself)


def update(
    key: str,
    tags: Mapping[str, str | None] | None,
    attributes: Mapping[str, Any] | None,
    description: str | None,
    outcome: OutcomeName | None,
    expected_revision: int | None,
) -> Call[Result]:
    """UpdateResult, with a mask of what is given."""
    request = pb.UpdateResultRequest(expected_revision=expected_revision)
    request.result.key = key
    for name, value in (tags or {}).items():
        request.update_mask.paths.append(f"tags.{name}")
        if value is not None:
            request.result.tags[name] = value
    if attributes is not None:
        request.update_mask.paths.append("attributes")
        request.result.attributes.update(plain(attributes, "attributes"))
    if description is not None:
        request.update_mask.paths.append("description")
        request.result.description = description
    if outcome is not None:
        request.update_mask.paths.append("outcome")
        request.result.outcome = outcome_of(outcome)
    return Call("UpdateResult", request, pb.UpdateResultResponse, lambda answer: answer.result)


def delete(key: str, expected_revision: int | None, backend: StoreRole | None) -> Call[int]:
    """DeleteResult."""
    request = pb.DeleteResultRequest(key=key, expected_revision=expected_revision, backend=backend_of(backend))
    return Call("DeleteResult", request, pb.DeleteResultResponse, lambda answer: int(answer.revision))


def put_result_set(
    key: str,
    name: str,
    rows: RowsOfSet | None,
    operation: str | None,
    parents: Sequence[str],
    description: str,
    created_by: str,
    expected_revision: int | None,
) -> Call[Result]:
    """PutResultSet."""
    if (rows is None) == (operation is None):
        raise ValueError("a set is made of rows, or by an operation on its parents")
    if operation is not None and operation not in _OPERATIONS:
        raise ValueError(f"an operation is one of {', '.join(_OPERATIONS)}, not {operation!r}")
    request = pb.PutResultSetRequest(
        key=key,
        name=name,
        rows=None if rows is None else to_message(rows),
        operation=None if operation is None else _OPERATIONS[operation],
        parents=parents,
        description=description,
        created_by=created_by,
        expected_revision=expected_revision,
    )
    return Call("PutResultSet", request, pb.PutResultSetResponse, lambda answer: answer.result)


def delete_result_set(key: str, name: str, expected_revision: int | None) -> Call[Result]:
    """DeleteResultSet."""
    request = pb.DeleteResultSetRequest(key=key, name=name, expected_revision=expected_revision)
    return Call("DeleteResultSet", request, pb.DeleteResultSetResponse, lambda answer: answer.result)


def uploads_page(prefix: str, page_token: str) -> Call[pb.ListUploadsResponse]:
    """A page of ListUploads."""
    request = pb.ListUploadsRequest(prefix=prefix, page_token=page_token)
    return Call("ListUploads", request, pb.ListUploadsResponse, _itself)


def abort_upload(upload_id: str) -> Call[None]:
    """AbortUpload."""
    request = pb.AbortUploadRequest(upload_id=upload_id)
    return Call("AbortUpload", request, pb.AbortUploadResponse, lambda answer: None)


def status() -> Call[pb.GetStatusResponse]:
    """GetStatus."""
    return Call("GetStatus", pb.GetStatusRequest(), pb.GetStatusResponse, _itself)


def copy(
    key: str, to_key: str, revision: int | None, expected_revision: int | None, remove_source: bool
) -> Call[pb.CopyResultResponse]:
    """CopyResult."""
    request = pb.CopyResultRequest(
        key=key, to_key=to_key, revision=revision, expected_revision=expected_revision, remove_source=remove_source
    )
    return Call("CopyResult", request, pb.CopyResultResponse, _itself)


def migrate(
    key: str | None, prefix: str | None, from_backend: StoreRole, to_backend: StoreRole, keep_source: bool
) -> Call[pb.MigrateResultResponse]:
    """MigrateResult: of one key, of a prefix, or of all."""
    if key is not None and prefix is not None:
        raise ValueError("one result is migrated, or those of a prefix: say key or prefix, not both")
    request = pb.MigrateResultRequest(
        key=key or "",
        prefix=prefix or "",
        all=key is None and not prefix,
        from_backend=backend_of(from_backend),
        to_backend=backend_of(to_backend),
        keep_source=keep_source,
    )
    return Call("MigrateResult", request, pb.MigrateResultResponse, _itself)


def replicate(prefix: str) -> Call[pb.ReplicateResultsResponse]:
    """ReplicateResults."""
    request = pb.ReplicateResultsRequest(prefix=prefix)
    return Call("ReplicateResults", request, pb.ReplicateResultsResponse, _itself)


def migrate_store() -> Call[pb.MigrateStoreResponse]:
    """MigrateStore."""
    return Call("MigrateStore", pb.MigrateStoreRequest(), pb.MigrateStoreResponse, _itself)


def verify(prefix: str, backend: StoreRole | None, repair: bool) -> Call[pb.VerifyResultsResponse]:
    """VerifyResults."""
    request = pb.VerifyResultsRequest(prefix=prefix, backend=backend_of(backend), repair=repair)
    return Call("VerifyResults", request, pb.VerifyResultsResponse, _itself)


def watch(prefix: str, after_event: int | None, include_uploads: bool) -> Call[pb.WatchResultsResponse]:
    """WatchResults."""
    request = pb.WatchResultsRequest(prefix=prefix, after_event=after_event, include_uploads=include_uploads)
    return Call("WatchResults", request, pb.WatchResultsResponse, _itself)


def load(
    address: str,
    key: str,
    *,
    columns: Sequence[str] | None,
    rows: RowRange | None,
    revision: int | None,
    result_set: str | None,
    sample_rows: int | None,
    backend: StoreRole | None,
    max_batch_bytes: int | None,
    local_files: bool | None,
) -> pb.LoadResultRequest:
    """LoadResult of a committed result, from a daemon at an address."""
    first, end = bounds_of(rows)
    if result_set == "":
        raise ValueError("a result set has a name; leave result_set out to load all rows")
    return pb.LoadResultRequest(
        key=key,
        columns=names_of(columns),
        first_row=first,
        row_count=None if end is None else max(end - (first or 0), 0),
        revision=revision,
        result_set=result_set or "",
        sample_rows=sample_rows or 0,
        backend=backend_of(backend),
        max_batch_bytes=max_batch_bytes or 0,
        local_files=address.startswith("unix:") if local_files is None else local_files,
    )


def follow(
    key: str, columns: Sequence[str] | None, first_row: int | None, upload_id: str | None, max_batch_bytes: int | None
) -> pb.LoadResultRequest:
    """LoadResult of a save in progress."""
    return pb.LoadResultRequest(
        key=key,
        columns=names_of(columns),
        first_row=first_row,
        upload_id=upload_id or "",
        max_batch_bytes=max_batch_bytes or 0,
        follow=True,
    )


def save_open(
    key: str,
    problem: Problem,
    *,
    upload_id: str,
    tags: Mapping[str, str] | None,
    attributes: Mapping[str, Any] | None,
    description: str,
    expected_revision: int | None,
    replicate: bool | Literal["sync"] | None,
    to_backend: StoreRole | None,
    append: bool,
) -> pb.SaveOpen:
    """The first message of a save."""
    request = pb.SaveOpen(
        key=key,
        upload_id=upload_id,
        problem=problem,
        tags=tags,
        description=description,
        expected_revision=expected_revision,
        replication=replication_of(replicate),
        to_backend=backend_of(to_backend),
        append=append,
    )
    if attributes is not None:
        request.attributes.update(plain(attributes, "attributes"))
    return request


def plain(value: Any, name: str) -> Any:
    """Facts as JSON has them; numbers and arrays of numpy too. TypeError or ValueError that names what JSON can't keep."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, str, float)):
        return value
    if isinstance(value, int):
        # All numbers of JSON are floats.
        if abs(value) > 2**53:
            raise ValueError(f"{name} is {value}, of which a number of JSON can't keep all digits; make it text")
        return value
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{name} has the key {wrong[0]!r}; the keys of attributes are text")
        return {key: plain(one, f"{name}.{key}") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one, f"{name}[{i}]") for i, one in enumerate(value)]
    raise TypeError(f"{name} is {value!r} ({type(value).__name__}); attributes are what JSON has: make it text")


def result_sets_of(sets: Mapping[str, RowsOfSet] | Iterable[ResultSet] | None) -> list[ResultSet]:
    """Sets that come with a commit: rows by name, or messages that say more."""
    if sets is None:
        return []
    if isinstance(sets, Mapping):
        return [ResultSet(name=name, rows=to_message(rows)) for name, rows in sets.items()]
    return list(sets)


def names_of(columns: Sequence[str] | None) -> Sequence[str]:
    """TypeError for one name where a list of names is meant."""
    if isinstance(columns, str):
        raise TypeError(f"columns are a list of names: [{columns!r}]")
    return list(columns or ())


def bounds_of(rows: RowRange | None) -> tuple[int | None, int | None]:
    """The first row and the end. ValueError for steps, and for positions from the end."""
    if rows is None:
        return None, None
    if isinstance(rows, (slice, range)):
        if rows.step not in (None, 1):
            raise ValueError("rows are loaded one after the other: a step is not possible")
        first, end = rows.start, rows.stop
    else:
        first, end = rows
    if (first or 0) < 0 or (end or 0) < 0:
        raise ValueError("rows are counted from the beginning: a negative number is not possible")
    return first, end


def backend_of(role: StoreRole | None) -> Backend:
    """What the wire calls a store."""
    if role not in _BACKENDS:
        raise ValueError(f"a store is 'primary', 'secondary' or 'cache', not {role!r}")
    return _BACKENDS[role]


def outcome_of(outcome: OutcomeName) -> Outcome:
    """What the wire calls the end of a run."""
    if outcome not in _OUTCOMES:
        raise ValueError(f"a run is 'finished', 'failed' or 'stopped', not {outcome!r}")
    return _OUTCOMES[outcome]


def replication_of(replicate: bool | Literal["sync"] | None) -> ReplicationMode:
    """What the wire calls it."""
    if replicate is None:
        return REPLICATION_MODE_UNSPECIFIED
    if replicate == "sync":
        return REPLICATION_MODE_SYNC
    return REPLICATION_MODE_ASYNC if replicate else REPLICATION_MODE_NONE


def _itself(answer: Any) -> Any:
    return answer
