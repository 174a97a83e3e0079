"""What the asyncio client promises beside the scenarios of conformance."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import numpy as np
import optistore
import pytest
from optistore import _upload, aio, design_variable, objective

XF = [design_variable("x"), objective("f")]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


def connected() -> aio.Client:
    return aio.connect(os.environ["OPTISTORE_SERVER"])


def test_a_run_is_saved_and_loaded(key: str) -> None:
    async def main() -> None:
        async with connected() as client:
            async with client.save(key, XF) as writer:
                for i in range(100):
                    await writer.append({"x": float(i), "f": 0.0})
            rows = await client.load(key)
            assert rows["x"].tolist() == list(range(100))
            batches = [len(rows) async for rows in client.load_batches(key)]
            assert sum(batches) == 100

    run(main())


def test_many_saves_of_one_loop_go_on_side_by_side(key: str) -> None:
    async def one(client: aio.Client, number: int) -> None:
        async with client.save(f"{key}/{number}", XF) as writer:
            for i in range(20):
                await writer.append({"x": np.full(100, float(number)), "f": np.full(100, float(i))})

    async def main() -> None:
        async with connected() as client:
            await asyncio.gather(*(one(client, number) for number in range(16)))
            assert [result.row_count async for result in client.list(f"{key}/")] == [2000] * 16

    run(main())


def test_a_block_that_raises_leaves_the_save_open_and_the_next_one_goes_on(key: str) -> None:
    async def main() -> None:
        async with connected() as client:
            with pytest.raises(ZeroDivisionError):
                async with client.save(key, XF) as writer:
                    await writer.append({"x": 1.0, "f": 1.0})
                    raise ZeroDivisionError
            async with client.save(key, XF, resume=True) as again:
                assert (again.upload_id, again.next_row) == (writer.upload_id, 1)
            assert (await client.get(key)).row_count == 1

    run(main())


def test_a_task_that_is_cancelled_leaves_the_save_open(key: str) -> None:
    async def main() -> None:
        async with connected() as client:
            begun = asyncio.Event()

            async def solver() -> None:
                async with client.save(key, XF, upload_id="aio-cancelled") as writer:
                    await writer.append({"x": 1.0, "f": 1.0})
                    begun.set()
                    await asyncio.sleep(3600)

            task = asyncio.create_task(solver())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            uploads = [upload async for upload in client.list_uploads(key)]
            assert [(upload.upload_id, upload.durable_row_count) for upload in uploads] == [("aio-cancelled", 1)]

    run(main())


def test_a_load_that_is_left_early_ends_its_call(key: str) -> None:
    async def main() -> None:
        async with connected() as client:
            x = np.arange(500_000.0)
            async with client.save(key, XF) as writer:
                await writer.append({"x": x, "f": x})
            batches = client.load_batches(key)
            async for rows in batches:
                assert len(rows) > 0
                break
            await batches.aclose()
            for _ in range(100):
                if (await client.status()).stream_count == 0:
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("a stream is still open")

    run(main())


def test_a_save_without_rows_can_be_followed_and_its_problem_is_there_at_once(key: str) -> None:
    async def main() -> None:
        async with connected() as client, client.save(key, XF) as writer:
            follower = client.follow(key)
            assert (await follower.begin()).upload_id == writer.upload_id
            await writer.append({"x": 1.0, "f": 2.0})
            await writer.commit()
            assert [rows["x"].tolist() async for rows in follower] == [[1.0]]

    run(main())


def test_an_error_has_its_reason(key: str) -> None:
    async def main() -> None:
        async with connected() as client:
            with pytest.raises(optistore.OptistoreError) as missing:
                await client.load(key)
            assert missing.value.reason == "RESULT_NOT_FOUND"

    run(main())


def test_a_client_is_of_the_loop_that_uses_it_first_and_can_be_made_before(key: str) -> None:
    client = connected()

    async def save() -> None:
        async with client.save(key, XF) as writer:
            await writer.append({"x": 1.0, "f": 1.0})

    async def load_and_close() -> None:
        with pytest.raises(RuntimeError, match="connect in each loop anew"):
            await client.load(key)

    run(save())
    run(load_and_close())


def test_a_save_that_is_cancelled_while_it_is_opened_leaves_no_stream(key: str) -> None:
    async def main() -> None:
        async with connected() as client:
            streams = (await client.status()).stream_count
            for i in range(20):
                opening = asyncio.ensure_future(client.save(f"{key}/{i}", XF).__aenter__())
                await asyncio.sleep(i * 0.0003)
                if not opening.cancel():
                    await (await opening).abandon()
                await asyncio.gather(opening, return_exceptions=True)
            for _ in range(100):
                if (await client.status()).stream_count == streams:
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("a stream is still open")

    run(main())


def test_what_goes_wrong_while_rows_are_sent_ends_the_save(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise MemoryError("not enough")

    async def main() -> None:
        async with connected() as client:
            writer = await client.save(key, XF)
            with monkeypatch.context() as patched:
                patched.setattr(_upload, "encode_batch", broken)
                await writer.append({"x": 1.0, "f": 1.0})
                with pytest.raises(optistore.OptistoreError, match="not enough"):
                    await writer.flush()
            await writer.close()

    run(main())
