"""What the contract promises, held against a daemon. Address of the daemon: OPTISTORE_SERVER."""

from __future__ import annotations

import os
import struct
import unittest
import zlib
from collections.abc import Callable, Iterator

import grpc
import numpy as np
from google.protobuf import struct_pb2
from optistore.v1 import errors_pb2, problem_pb2, result_pb2, rows_pb2, storage_service_pb2, storage_service_pb2_grpc
from optistore_client import DEADLINE_S, Save, Values, batch_of, details_of, load, pack

ROWS = 5000
# Never a multiple of 8 for long, so that bitmaps are cut within a byte.
CUTS = (1, 7, 8, 9, 250, 1000)

PROBLEM = problem_pb2.Problem(
    name="every type",
    solver="unittest",
    variables=[
        problem_pb2.Variable(
            name="x",
            role=problem_pb2.VARIABLE_ROLE_DESIGN_VARIABLE,
            value_type=problem_pb2.VALUE_TYPE_FLOAT64,
            lower_bound=-1.5,
        ),
        problem_pb2.Variable(
            name="f",
            role=problem_pb2.VARIABLE_ROLE_OBJECTIVE,
            value_type=problem_pb2.VALUE_TYPE_FLOAT64,
            direction=problem_pb2.DIRECTION_MINIMIZE,
        ),
        problem_pb2.Variable(name="n", role=problem_pb2.VARIABLE_ROLE_OBSERVABLE, value_type=problem_pb2.VALUE_TYPE_INT64),
        problem_pb2.Variable(name="ok", role=problem_pb2.VARIABLE_ROLE_OBSERVABLE, value_type=problem_pb2.VALUE_TYPE_BOOL),
        problem_pb2.Variable(
            name="größe ✓", role=problem_pb2.VARIABLE_ROLE_OBSERVABLE, value_type=problem_pb2.VALUE_TYPE_STRING
        ),
        problem_pb2.Variable(
            name="never", role=problem_pb2.VARIABLE_ROLE_OBSERVABLE, value_type=problem_pb2.VALUE_TYPE_FLOAT64
        ),
    ],
)
NAMES = [variable.name for variable in PROBLEM.variables]


def floats_that_are_easily_bent() -> np.ndarray:
    """Zeros of both signs, infinities, subnormals, and NaNs quiet, signalling, negative and with a payload."""
    bits = [
        0x8000000000000000,
        0x0000000000000000,
        0x7FF0000000000000,
        0xFFF0000000000000,
        0x0000000000000001,
        0x7FEFFFFFFFFFFFFF,
        0x7FF8000000000000,
        0x7FF0000000000001,
        0xFFF8000000000ABC,
    ]
    return np.array(bits, "<u8").view("<f8")


def run() -> dict[str, Values]:
    """The rows of a run, the same each time."""
    random = np.random.default_rng(7)
    special = floats_that_are_easily_bent()
    x = random.normal(size=ROWS)
    x[: len(special)] = special
    f = np.resize(special, ROWS)
    n = random.integers(-(2**63), 2**63 - 1, ROWS, endpoint=True)
    n[:4] = [-(2**63), 2**63 - 1, 2**53 + 1, 0]
    ok = random.random(ROWS) < 0.5
    words = ["", "a", "grün", "日本語", "🦕 und mehr", "nul \0 inside", "\ufeffmark"]
    text = [words[i % len(words)] + "." * int(random.integers(0, 9)) for i in range(ROWS)]
    # What is in the slots of missing values is garbage here, and may not come back.
    valid_n = random.random(ROWS) < 0.8
    valid_n[:4] = True
    return {
        "x": Values(x, np.ones(ROWS, bool)),
        "f": Values(f, random.random(ROWS) < 0.8),
        "n": Values(n, valid_n),
        "ok": Values(ok, random.random(ROWS) < 0.8),
        "größe ✓": Values(text, random.random(ROWS) < 0.8),
        "never": Values(random.normal(size=ROWS), np.zeros(ROWS, bool)),
    }


RUN = run()
COLUMNS = list(RUN.values())


def batches(first_row: int, end: int) -> Iterator[rows_pb2.RowBatch]:
    """Rows of the run, cut unevenly."""
    turn = 0
    while first_row < end:
        row_count = min(CUTS[turn % len(CUTS)], end - first_row)
        yield batch_of(COLUMNS, first_row, row_count)
        first_row += row_count
        turn += 1


def bits_of(values: Values) -> tuple[bytes, ...]:
    """A column as bytes that are equal only where every bit is; missing values are zero or empty."""
    if isinstance(values.data, list):
        texts = [text if there else "" for text, there in zip(values.data, values.valid, strict=False)]
        encoded = [text.encode() for text in texts]
        return (b"".join(encoded), struct.pack(f"<{len(texts)}I", *map(len, encoded)), values.valid.tobytes())
    data = values.data.copy()
    data[~values.valid] = 0
    return (data.tobytes(), values.valid.tobytes())


class Contract(unittest.TestCase):
    def setUp(self) -> None:
        self.stub = self.connect()
        # Tests share a daemon; each has its own part of the store.
        self.key = f"python/{self._testMethodName}"
        self.id = f"python-{self._testMethodName}"

    def connect(self) -> storage_service_pb2_grpc.StorageServiceStub:
        return storage_service_pb2_grpc.StorageServiceStub(self.channel())

    def channel(self) -> grpc.Channel:
        channel = grpc.insecure_channel(os.environ["OPTISTORE_SERVER"], options=[("grpc.enable_http_proxy", 0)])
        self.addCleanup(channel.close)
        return channel

    def opened(self, stub=None, **more) -> Save:
        """A stream on a new upload of the run."""
        save = Save(stub or self.stub)
        self.addCleanup(save.cancel)
        save.send(open={"key": self.key, "upload_id": self.id, "problem": PROBLEM, **more})
        self.assertEqual(save.answer("opened").next_row, 0)
        return save

    def save_run(self, **more) -> result_pb2.Result:
        save = self.opened(**more)
        for batch in batches(0, ROWS):
            save.send(batch=batch)
        result = self.committed(save)
        self.assertEqual(save.ended(), grpc.StatusCode.OK)
        return result

    def committed(self, save: Save) -> result_pb2.Result:
        save.send(commit={"row_count": ROWS, "outcome": result_pb2.OUTCOME_FINISHED})
        return save.answer("committed").result

    def assert_rows(self, loaded: dict[str, Values], names=NAMES, rows=slice(None)) -> None:
        self.assertEqual(list(loaded), list(names))
        for name in names:
            with self.subTest(column=name):
                values = loaded[name]
                # Not assertEqual, which takes minutes to say how two long runs of bytes differ.
                self.assertTrue(bits_of(values) == bits_of(RUN[name][rows]), "other rows came back")
                # What was in the slots of missing values is not kept: as they came they are zeros already.
                as_they_came = Values(values.data, np.ones(len(values), bool))
                self.assertTrue(bits_of(values)[0] == bits_of(as_they_came)[0], "a missing value has a value")

    def assert_refused(self, call: Callable[[], object], code: grpc.StatusCode, reason: str, **metadata: str) -> None:
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        status, info = details_of(error)
        self.assertEqual((error.code(), info.reason, info.domain), (code, reason, "optistore"))
        # There may be more facts than a test asks for.
        self.assertEqual({name: info.metadata[name] for name in metadata}, metadata)
        self.assertEqual((status.code, status.message), (code.value[0], error.details()))
        self.assertIn(f"ERROR_REASON_{reason}", errors_pb2.ErrorReason.keys())

    def test_rows_of_every_type_come_back_bit_for_bit_with_missing_values_and_NaN(self) -> None:
        result = self.save_run()
        self.assertEqual((result.key, result.row_count, result.revision), (self.key, ROWS, 1))
        self.assertEqual(result.state, result_pb2.RESULT_STATE_COMMITTED)
        self.assertEqual(result.outcome, result_pb2.OUTCOME_FINISHED)
        self.assertEqual(result.problem, PROBLEM)
        loaded = load(self.stub, self.key)
        self.assert_rows(loaded.columns)
        self.assertEqual(loaded.header.result, result)
        self.assertEqual(list(loaded.header.variables), list(PROBLEM.variables))

    def test_rows_are_the_same_whatever_the_size_of_the_batches_that_they_come_in(self) -> None:
        self.save_run()
        loaded = load(self.stub, self.key, max_batch_bytes=65536)
        self.assertGreater(len(loaded.batches), 2)
        self.assertLessEqual(max(batch.ByteSize() for batch in loaded.batches), 65536)
        self.assert_rows(loaded.columns)

    def test_only_the_chosen_columns_come_in_the_order_wanted(self) -> None:
        self.save_run()
        names = ["größe ✓", "x", "ok"]
        loaded = load(self.stub, self.key, columns=names)
        self.assert_rows(loaded.columns, names)

    def test_a_range_of_rows_is_cut_anywhere(self) -> None:
        self.save_run()
        for first_row, row_count in ((0, 1), (3, 5), (13, 1250), (1274, 2222), (ROWS - 1, 1), (ROWS - 3, 99)):
            with self.subTest(first_row=first_row, row_count=row_count):
                loaded = load(self.stub, self.key, first_row=first_row, row_count=row_count, max_batch_bytes=65536)
                self.assertEqual(loaded.header.first_row, first_row)
                self.assert_rows(loaded.columns, rows=slice(first_row, first_row + row_count))
        some = load(self.stub, self.key, columns=["n", "f"], first_row=4321)
        self.assert_rows(some.columns, ["n", "f"], slice(4321, None))

    def test_a_range_of_no_rows_has_a_header_and_a_trailer(self) -> None:
        self.save_run()
        for wanted in ({"first_row": ROWS}, {"row_count": 0}):
            with self.subTest(**wanted):
                loaded = load(self.stub, self.key, **wanted)
                self.assertEqual(loaded.header.row_count, 0)
                self.assertEqual(loaded.header.result.row_count, ROWS)

    def test_the_summary_of_a_column_has_its_extremes_counts_and_checksums(self) -> None:
        result = self.save_run()
        self.assertEqual([summary.name for summary in result.columns], NAMES)
        for summary in result.columns:
            with self.subTest(column=summary.name):
                values = RUN[summary.name]
                content, *rest = bits_of(values)
                self.assertEqual(summary.missing_count, np.count_nonzero(~values.valid))
                self.assertEqual(summary.values_crc32, zlib.crc32(content))
                self.assertEqual(summary.validity_crc32, zlib.crc32(values.valid.astype("u1").tobytes()))
                self.assertEqual(summary.lengths_crc32, zlib.crc32(rest[0]) if len(rest) == 2 else 0)
                self.assert_extremes(summary, values)

    def assert_extremes(self, summary: result_pb2.ColumnSummary, values: Values) -> None:
        there = np.zeros(0) if isinstance(values.data, list) else values.data[values.valid]
        is_nan = np.isnan(there)
        self.assertEqual(summary.nan_count, np.count_nonzero(is_nan))
        there = there[~is_nan]
        self.assertEqual((summary.HasField("min"), summary.HasField("max")), (there.size > 0, there.size > 0))
        if there.size > 0:
            self.assertEqual((summary.min, summary.max), (float(there.min()), float(there.max())))

    def test_a_save_that_is_cut_off_goes_on_in_a_new_channel_and_a_resend_does_no_harm(self) -> None:
        channel = self.channel()
        cut_off = self.opened(storage_service_pb2_grpc.StorageServiceStub(channel))
        for batch in batches(0, 2000):
            cut_off.send(batch=batch)
        acked = cut_off.send(flush={}).acked(2000)
        # Sent, but nobody said that they are durable.
        for batch in batches(2000, 2500):
            cut_off.send(batch=batch)
        cut_off.cancel()
        channel.close()

        resumed = Save(self.connect())
        self.addCleanup(resumed.cancel)
        opened = resumed.send(open={"key": self.key, "upload_id": self.id}).answer("opened")
        self.assertEqual((opened.upload_id, opened.volatile, opened.HasField("committed")), (self.id, False, False))
        self.assertGreaterEqual(opened.next_row, acked)
        self.assertLessEqual(opened.next_row, 2500)
        for batch in batches(1234, ROWS):
            resumed.send(batch=batch)
        result = self.committed(resumed)
        self.assertEqual(resumed.ended(), grpc.StatusCode.OK)
        self.assertEqual((result.row_count, result.upload_id), (ROWS, self.id))
        self.assert_rows(load(self.stub, self.key).columns)

    def test_a_commit_that_is_repeated_gives_the_same_result(self) -> None:
        result = self.save_run()
        for _ in range(2):
            again = Save(self.connect())
            self.addCleanup(again.cancel)
            opened = again.send(open={"key": self.key, "upload_id": self.id, "problem": PROBLEM}).answer("opened")
            self.assertEqual((opened.next_row, opened.committed), (ROWS, result))
            self.assertEqual(self.committed(again), result)
            self.assertEqual(again.ended(), grpc.StatusCode.OK)
        got = self.stub.GetResult(storage_service_pb2.GetResultRequest(key=self.key), timeout=DEADLINE_S)
        # Where its copies are, only GetResult tells.
        placements = [(p.backend, p.revision) for p in got.result.placements]
        self.assertEqual(placements, [(result_pb2.BACKEND_PRIMARY, result.revision)])
        got.result.ClearField("placements")
        self.assertEqual(got.result, result)

    def test_a_stream_that_the_client_closes_leaves_an_upload_that_is_listed_and_can_be_aborted(self) -> None:
        save = self.opened()
        save.send(batch=batch_of(COLUMNS, 0, 40))
        self.assertEqual(save.ended(), grpc.StatusCode.OK)
        request = storage_service_pb2.ListUploadsRequest(prefix=self.key)
        listed = self.stub.ListUploads(request, timeout=DEADLINE_S).uploads
        self.assertEqual([(u.upload_id, u.key, u.durable_row_count) for u in listed], [(self.id, self.key, 40)])
        self.stub.AbortUpload(storage_service_pb2.AbortUploadRequest(upload_id=self.id), timeout=DEADLINE_S)
        self.assertEqual(len(self.stub.ListUploads(request, timeout=DEADLINE_S).uploads), 0)
        again = Save(self.stub).send(open={"key": self.key, "upload_id": self.id, "problem": PROBLEM})
        self.assert_refused(lambda: again.answer("opened"), grpc.StatusCode.NOT_FOUND, "UPLOAD_ABORTED")

    def test_results_are_found_by_prefix_and_tag_a_page_at_a_time(self) -> None:
        attributes = struct_pb2.Struct()
        attributes.update({"seed": 7, "note": None, "bounds": [0.5, True, {"deep": "text"}]})
        keys = [f"{self.key}/{i}" for i in range(5)]
        for key in keys:
            save = Save(self.stub)
            about = {"problem": PROBLEM, "tags": {"of": self.id}, "attributes": attributes, "description": "a test"}
            save.send(open={"key": key, **about}).send(commit={"row_count": 0})
            self.assertTrue(save.answer("opened").upload_id)
            save.answer("committed")
            self.assertEqual(save.ended(), grpc.StatusCode.OK)
        found, token = [], ""
        while not found or token:
            request = storage_service_pb2.ListResultsRequest(
                prefix=f"{self.key}/", tags={"of": self.id}, order_by="key desc", page_size=2, page_token=token
            )
            page = self.stub.ListResults(request, timeout=DEADLINE_S)
            self.assertLessEqual(len(page.results), 2)
            found += page.results
            token = page.next_page_token
        self.assertEqual([result.key for result in found], keys[::-1])
        self.assertEqual((found[0].attributes, found[0].description), (attributes, "a test"))
        deletion = storage_service_pb2.DeleteResultRequest(key=keys[0], expected_revision=1)
        self.assertEqual(self.stub.DeleteResult(deletion, timeout=DEADLINE_S).revision, 2)
        self.assert_refused(lambda: load(self.stub, keys[0]), grpc.StatusCode.NOT_FOUND, "RESULT_NOT_FOUND")

    def test_an_error_says_its_reason_in_grpc_status_details_bin(self) -> None:
        self.save_run()
        key = self.key
        refused = [
            ("RESULT_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"key": "python/not-there"}),
            ("COLUMN_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"key": key, "columns": ["y"]}),
            ("REVISION_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"key": key, "revision": 9}),
            ("ROW_RANGE_INVALID", grpc.StatusCode.OUT_OF_RANGE, {"key": key, "first_row": ROWS + 1}),
            ("KEY_INVALID", grpc.StatusCode.INVALID_ARGUMENT, {"key": "a/../b"}),
        ]
        for reason, code, request in refused:
            with self.subTest(reason=reason):
                self.assert_refused(lambda: load(self.stub, **request), code, reason)
        with self.subTest(rpc="GetResult"):
            get = storage_service_pb2.GetResultRequest(key="python/not-there")
            code = grpc.StatusCode.NOT_FOUND
            self.assert_refused(lambda: self.stub.GetResult(get, timeout=DEADLINE_S), code, "RESULT_NOT_FOUND")

    def test_a_batch_that_is_wrong_is_refused_with_its_reason_and_nothing_of_it_is_kept(self) -> None:
        good = batch_of(COLUMNS, 10, 20)
        damaged = rows_pb2.RowBatch()
        damaged.CopyFrom(good)
        damaged.columns[0].float64_values = damaged.columns[0].float64_values[::-1]
        short = rows_pb2.RowBatch(first_row=10, row_count=20, columns=[pack(values[10:29]) for values in COLUMNS])
        invalid, not_now = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
        refused = [
            ("ROW_GAP", grpc.StatusCode.OUT_OF_RANGE, {"batch": batch_of(COLUMNS, 11, 20)}, {"next_row": "10"}),
            ("CHECKSUM_MISMATCH", invalid, {"batch": damaged}, {}),
            ("BATCH_MISMATCH", invalid, {"batch": short}, {}),
            ("ROW_COUNT_MISMATCH", not_now, {"commit": {"row_count": 11}}, {"next_row": "10"}),
            ("PROTOCOL_VIOLATION", not_now, {"open": {"key": self.key}}, {}),
        ]
        first = self.opened()
        first.send(batch=batch_of(COLUMNS, 0, 10))
        self.assertEqual(first.ended(), grpc.StatusCode.OK)
        for reason, code, message, metadata in refused:
            with self.subTest(reason=reason):
                save = self.resumed_at(10)
                save.send(**message)
                self.assert_refused(lambda: save.answer("committed"), code, reason, **metadata)
        save = self.resumed_at(10)
        for batch in batches(10, ROWS):
            save.send(batch=batch)
        self.committed(save)
        self.assert_rows(load(self.stub, self.key).columns)

    def resumed_at(self, row: int) -> Save:
        save = Save(self.stub)
        self.addCleanup(save.cancel)
        save.send(open={"key": self.key, "upload_id": self.id})
        self.assertEqual(save.answer("opened").next_row, row)
        return save


if __name__ == "__main__":
    unittest.main()
