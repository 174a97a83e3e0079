"""Which save of a key is gone on with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import grpc

from .errors import OptistoreError
from .rows import Rows
from .v1.storage_service_pb2 import Upload

if TYPE_CHECKING:
    from .client import Client, Follower

#: How long a writer that was closed, or killed, may seem to be connected: the daemon learns of it a little later.
LET_GO_S = 1.0
ASK_AGAIN_S = 0.05


def upload_to_resume(key: str, uploads: Sequence[Upload]) -> str | None:
    """The save of this key with the latest row; None where none is in progress.

    OptistoreError where a client is connected to it: nobody is taken over unasked.
    """
    of_key = [upload for upload in uploads if upload.key == key]
    if not of_key:
        return None
    newest = max(of_key, key=lambda upload: upload.update_time.ToNanoseconds())
    if newest.has_stream:
        raise OptistoreError(
            f"The save {newest.upload_id} of {key!r} has a writer that is connected. Stop that one first; or say "
            f"upload_id={newest.upload_id!r} to take the save over, or resume=False to begin another.",
            grpc.StatusCode.FAILED_PRECONDITION,
        )
    return newest.upload_id


def wait_to_resume(client: Client, key: str) -> str | None:
    """The same, of the saves that the daemon lists; a writer that is connected may be one that has just gone."""
    until = time.monotonic() + LET_GO_S
    while True:
        uploads = list(client.list_uploads(key))
        try:
            return upload_to_resume(key, uploads)
        except OptistoreError:
            if time.monotonic() > until:
                raise
        time.sleep(ASK_AGAIN_S)


def rows_until(end: int, follower: Follower) -> Iterator[Rows]:
    """The rows of a save in progress up to about this one, exclusive: those of the batch that has it."""
    try:
        for rows in follower:
            yield rows
            if rows.first_row + len(rows) >= end:
                return
    finally:
        follower.close()
