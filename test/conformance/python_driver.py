"""The Python clients as a driver: see README.md. `python_driver.py sync` or `python_driver.py asyncio`."""

from __future__ import annotations

import asyncio
import inspect
import json
import struct
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import optistore
import optistore.aio
from google.protobuf.json_format import MessageToDict, ParseDict
from optistore.v1 import problem_pb2, result_pb2

CONNECT = {"sync": optistore.connect, "asyncio": optistore.aio.connect}[sys.argv[1]]
TYPES = {"f": "float64", "i": "int64", "b": "bool", "O": "string"}
SAVE_FIELDS = ("upload_id", "tags", "attributes", "description", "expected_revision", "to_backend")


async def now(value: Any) -> Any:
    """Of either client."""
    return await value if inspect.isawaitable(value) else value


async def each(values: Any) -> AsyncIterator[Any]:
    """Of either client."""
    if hasattr(values, "__aiter__"):
        async for value in values:
            yield value
    else:
        for value in values:
            yield value


def message(value: Any) -> dict[str, Any]:
    return MessageToDict(value, preserving_proto_field_name=True)


def given(command: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: command[name] for name in names if name in command}


class Driver:
    """Performs commands."""

    def __init__(self) -> None:
        self.clients: dict[str, Any] = {}
        self.writers: dict[str, Any] = {}
        self.readers: dict[str, Reader] = {}
        self.watchers: dict[str, Any] = {}

    async def perform(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": await getattr(self, f"do_{command['do']}")(command) or {}}
        except optistore.OptistoreError as error:
            told = {"code": error.code.name, "reason": error.reason, "message": str(error), "metadata": error.metadata}
            return {"error": told}
        except (ValueError, TypeError) as error:
            return {"misuse": str(error)}

    def client(self, command: dict[str, Any]) -> Any:
        return self.clients[command["client"]]

    def writer(self, command: dict[str, Any]) -> Any:
        return self.writers[command["writer"]]

    async def do_connect(self, command: dict[str, Any]) -> None:
        self.clients[command["client"]] = CONNECT(command["address"], token=command.get("token", ""))

    async def do_reset(self, command: dict[str, Any]) -> None:
        for reader in self.readers.values():
            await reader.leave()
        for watcher in self.watchers.values():
            await watcher.aclose()
        for client in self.clients.values():
            await now(client.close())
        self.__init__()

    async def do_save(self, command: dict[str, Any]) -> dict[str, Any]:
        problem = ParseDict(command["problem"], problem_pb2.Problem())
        return await self.opened(command, lambda client, **more: client.save(command["key"], problem, **more))

    async def do_extend(self, command: dict[str, Any]) -> dict[str, Any]:
        return await self.opened(command, lambda client, **more: client.extend(command["key"], **more))

    async def opened(self, command: dict[str, Any], opening: Callable[..., Any]) -> dict[str, Any]:
        more = given(command, *SAVE_FIELDS)
        if "to" in command:
            more["to_backend"] = command["to"]
        if "replicate" in command:
            more["replicate"] = {"none": False, "async": True, "sync": "sync"}[command["replicate"]]
        writer = await now(opening(self.client(command), **more))
        self.writers[command["writer"]] = writer
        answer = {"upload_id": writer.upload_id, "next_row": writer.next_row}
        return answer if writer.committed is None else {**answer, "committed": message(writer.committed)}

    async def do_append(self, command: dict[str, Any]) -> None:
        await now(self.writer(command).append(inputs(command["columns"])))

    async def do_append_each(self, command: dict[str, Any]) -> None:
        columns = {name: column_values(column) for name, column in command["columns"].items()}
        for values in zip(*columns.values(), strict=True):
            await now(self.writer(command).append(dict(zip(columns, values, strict=True))))

    async def do_append_flushed(self, command: dict[str, Any]) -> dict[str, Any]:
        await self.do_append(command)
        return await self.do_flush(command)

    async def do_flush(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"durable_row_count": await now(self.writer(command).flush())}

    async def do_commit(self, command: dict[str, Any]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if "outcome" in command:
            more["outcome"] = command["outcome"].removeprefix("OUTCOME_").lower()
        if "result_sets" in command:
            more["result_sets"] = [set_of(one) for one in command["result_sets"]]
        return {"result": message(await now(self.writer(command).commit(**more)))}

    async def do_close(self, command: dict[str, Any]) -> None:
        await now(self.writer(command).close())

    def load_arguments(self, command: dict[str, Any]) -> dict[str, Any]:
        more = given(command, "columns", "revision", "result_set", "sample_rows")
        if "from" in command:
            more["backend"] = command["from"]
        first, count = command.get("first_row", 0), command.get("row_count")
        if first > 0 or count is not None:
            more["rows"] = (first, None if count is None else first + count)
        return more

    async def do_load(self, command: dict[str, Any]) -> dict[str, Any]:
        client, more = self.client(command), self.load_arguments(command)
        if "max_batch_bytes" in command:
            batches = client.load_batches(command["key"], max_batch_bytes=command["max_batch_bytes"], **more)
            return columns_of([rows async for rows in each(batches)])
        rows = await now(client.load(command["key"], **more))
        answer = {
            "result": message(rows.result),
            "first_row": rows.first_row,
            "served_from": result_pb2.Backend.Name(rows.served_from),
            "stale": rows.stale,
            **columns_of([rows]),
        }
        if rows.row_numbers is not None:
            answer["row_numbers"] = rows.row_numbers.tolist()
        if rows.sample is not None:
            answer["sample"] = message(rows.sample)
        return answer

    async def do_load_batches(self, command: dict[str, Any]) -> dict[str, Any]:
        more = {**self.load_arguments(command), **given(command, "max_batch_bytes")}
        batches = [rows async for rows in each(self.client(command).load_batches(command["key"], **more))]
        return {"first_row": batches[0].first_row, "batch_count": len(batches), **columns_of(batches), **numbers_of(batches)}

    async def do_begin_load(self, command: dict[str, Any]) -> dict[str, Any]:
        client = self.client(command)
        if command.get("follow"):
            more = given(command, "columns", "first_row", "upload_id", "max_batch_bytes")
            follower = client.follow(command["key"], **more)
            reader = Reader(follower, follower)
        else:
            more = {**self.load_arguments(command), **given(command, "max_batch_bytes")}
            reader = Reader(client.load_batches(command["key"], **more), None)
        self.readers[command["reader"]] = reader
        if reader.follower is not None:
            return {"result": message(await now(reader.follower.begin()))}
        return {"result": await reader.begin()}

    async def do_next(self, command: dict[str, Any]) -> dict[str, Any]:
        return await self.readers[command["reader"]].read(command.get("row_count", 1))

    async def do_rest(self, command: dict[str, Any]) -> dict[str, Any]:
        reader = self.readers[command["reader"]]
        answer = await reader.read(None)
        committed = reader.follower and reader.follower.committed
        return {**answer, "committed": message(committed)} if committed else answer

    async def do_leave(self, command: dict[str, Any]) -> None:
        if "reader" in command:
            await self.readers.pop(command["reader"]).leave()
        else:
            await self.watchers.pop(command["watcher"]).aclose()

    async def do_get(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"result": message(await now(self.client(command).get(command["key"])))}

    async def do_list(self, command: dict[str, Any]) -> dict[str, Any]:
        unreachable: list[str] = []
        more = given(command, "prefix", "tags", "filter", "order_by", "page_size")
        results = self.client(command).list(on_unreachable=unreachable.extend, **more)
        return {"results": [message(result) async for result in each(results)], "unreachable": unreachable}

    async def do_update(self, command: dict[str, Any]) -> dict[str, Any]:
        more = given(command, "tags", "attributes", "description", "expected_revision")
        if "outcome" in command:
            more["outcome"] = command["outcome"].removeprefix("OUTCOME_").lower()
        return {"result": message(await now(self.client(command).update(command["key"], **more)))}

    async def do_delete(self, command: dict[str, Any]) -> dict[str, Any]:
        more = given(command, "expected_revision")
        if "from" in command:
            more["backend"] = command["from"]
        return {"revision": await now(self.client(command).delete(command["key"], **more))}

    async def do_put_set(self, command: dict[str, Any]) -> dict[str, Any]:
        more = given(command, "rows", "parents", "description", "created_by", "expected_revision")
        if "operation" in command:
            more["operation"] = command["operation"].removeprefix("SET_OPERATION_").lower()
        result = await now(self.client(command).put_result_set(command["key"], command["name"], **more))
        return {"result": message(result)}

    async def do_delete_set(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"result": message(await now(self.client(command).delete_result_set(command["key"], command["name"])))}

    async def do_copy(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"result": message(await now(self.client(command).copy(command["key"], command["to_key"])))}

    async def do_move(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"result": message(await now(self.client(command).move(command["key"], command["to_key"])))}

    async def do_migrate(self, command: dict[str, Any]) -> dict[str, Any]:
        more = given(command, "key", "prefix", "keep_source")
        last = self.client(command).migrate(from_backend=command["from"], to_backend=command["to"], **more)
        return {"last": message(await now(last))}

    async def do_replicate(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"last": message(await now(self.client(command).replicate(**given(command, "prefix"))))}

    async def do_verify(self, command: dict[str, Any]) -> dict[str, Any]:
        more = given(command, "prefix", "repair")
        if "from" in command:
            more["backend"] = command["from"]
        return {"copies": [message(copy) async for copy in each(self.client(command).verify(**more))]}

    async def do_uploads(self, command: dict[str, Any]) -> dict[str, Any]:
        uploads = self.client(command).list_uploads(**given(command, "prefix"))
        return {"uploads": [message(upload) async for upload in each(uploads)]}

    async def do_abort(self, command: dict[str, Any]) -> None:
        await now(self.client(command).abort_upload(command["upload_id"]))

    async def do_status(self, command: dict[str, Any]) -> dict[str, Any]:
        return {"status": message(await now(self.client(command).status()))}

    async def do_watch(self, command: dict[str, Any]) -> None:
        more = given(command, "prefix")
        if "after_event" in command:
            more["after_event"] = int(command["after_event"])
        events = each(self.client(command).watch(**more))
        self.watchers[command["watcher"]] = events
        # The first message says that it has begun.
        if "after_event" not in command:
            await anext(events)

    async def do_next_event(self, command: dict[str, Any]) -> dict[str, Any]:
        async for event in self.watchers[command["watcher"]]:
            if event.WhichOneof("event") is not None:
                return message(event)
        raise RuntimeError("the watch ended")


class Reader:
    """Batches that are taken a few at a time."""

    def __init__(self, batches: Any, follower: Any) -> None:
        self.follower = follower
        self.batches = each(batches)
        self.pending: list[Any] = []
        self.next_row = 0

    async def begin(self) -> dict[str, Any]:
        rows = await anext(self.batches, None)
        if rows is None:
            return {}
        self.pending.append(rows)
        self.next_row = rows.first_row
        return message(rows.result)

    async def read(self, row_count: int | None) -> dict[str, Any]:
        batches: list[Any] = []
        while row_count is None or sum(map(len, batches)) < row_count:
            rows = self.pending.pop() if self.pending else await anext(self.batches, None)
            if rows is None:
                break
            batches.append(rows)
        first_row = batches[0].first_row if batches else self.next_row
        self.next_row = first_row + sum(map(len, batches))
        return {"first_row": first_row, "end_row": self.next_row, **columns_of(batches), **numbers_of(batches)}

    async def leave(self) -> None:
        await self.batches.aclose()
        if self.follower is not None:
            await now(self.follower.close())


def set_of(one: dict[str, Any]) -> result_pb2.ResultSet:
    rows = np.array(one["rows"], "<u8")
    more = given(one, "description", "created_by")
    return result_pb2.ResultSet(name=one["name"], rows={"list": rows.tobytes()}, **more)


def column_values(column: dict[str, Any]) -> list[Any]:
    if column["type"] == "float64":
        return [number(value) for value in column["values"]]
    if column["type"] == "int64":
        return [None if value is None else int(value) for value in column["values"]]
    return column["values"]


def number(value: Any) -> float | None:
    if isinstance(value, str) and value.startswith("0x"):
        return struct.unpack("<d", int(value, 16).to_bytes(8, "little"))[0]
    return None if value is None else float(value)


def inputs(columns: dict[str, Any]) -> dict[str, Any]:
    """Lists where values are missing, else arrays."""
    dtypes = {"float64": "<f8", "int64": "<i8", "bool": "?", "string": object}
    values = {name: column_values(column) for name, column in columns.items()}
    return {
        name: listed if None in listed else np.array(listed, dtypes[columns[name]["type"]]) for name, listed in values.items()
    }


def columns_of(batches: list[Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for rows in batches:
        for name in rows:
            values, valid = rows[name], rows.valid(name)
            kind = TYPES[np.ma.getdata(values).dtype.kind]
            column = columns.setdefault(name, {"type": kind, "values": []})
            listed = [written(value, kind) for value in np.ma.getdata(values)]
            there = np.ones(len(rows), bool) if valid is None else valid
            column["values"] += [value if is_there else None for value, is_there in zip(listed, there, strict=True)]
    return {"columns": columns}


def numbers_of(batches: list[Any]) -> dict[str, Any]:
    """Which rows batches have, where these are told by their numbers."""
    told = [row for rows in batches if rows.row_numbers is not None for row in rows.row_numbers.tolist()]
    return {"row_numbers": told} if told else {}


def written(value: Any, kind: str) -> Any:
    if kind == "string":
        return value
    if kind == "bool":
        return bool(value)
    if kind == "int64":
        return str(value)
    if np.isnan(value):
        bits = int(np.float64(value).view(np.uint64))
        return "NaN" if bits == 0x7FF8000000000000 else f"0x{bits:016x}"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "-0.0" if value == 0 and np.signbit(value) else float(value)


async def main() -> None:
    driver = Driver()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answer = await driver.perform(json.loads(line))
        print(json.dumps(answer), flush=True)
    await driver.do_reset({})


asyncio.run(main())
