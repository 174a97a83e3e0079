"""What the Python package promises beside the scenarios of conformance."""

from __future__ import annotations

import datetime
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import optistore
import pandas as pd
import pyarrow as pa
import pytest
from conftest import Daemon
from google.protobuf.json_format import MessageToDict
from optistore import _upload, design_variable, objective, observable
from optistore.v1.storage_service_pb2 import SaveOpened, SaveResultResponse

XF = [design_variable("x"), objective("f")]
EVERY = [
    design_variable("x", -1, 1, unit="mm"),
    objective("f", "maximize"),
    observable("n", type=int),
    observable("ok", type=bool),
    observable("s", type=str),
]


def test_a_dict_of_arrays_comes_back_as_arrays(client: optistore.Client, key: str) -> None:
    x, f = np.random.default_rng(1).random((2, 1000))
    with client.save(key, XF) as run:
        run.append({"x": x, "f": f})
    rows = client.load(key)
    assert (rows["x"] == x).all() and (rows["f"] == f).all()
    assert (list(rows), len(rows), rows.valid("x")) == (["x", "f"], 1000, None)
    assert rows.result.outcome == optistore.Result(outcome=1).outcome


def test_rows_lists_tables_and_frames_are_taken_as_they_are(client: optistore.Client, key: str) -> None:
    table = np.array([[5.0, 6.0], [7.0, 8.0]])
    structured = np.array([(9.0, 10.0)], dtype=[("f", "f8"), ("x", "f8")])
    with client.save(key, XF) as run:
        run.append({"x": 1, "f": 2.0})
        run.append([{"x": 3.0, "f": 4.0}, {"f": np.float32(0.5), "x": np.int8(3)}])
        run.append(table)
        run.append(table[0])
        run.append(structured)
        run.append(pd.DataFrame({"f": [12.0], "x": [11]}))
    rows = client.load(key)
    assert rows["x"].tolist() == [1, 3, 3, 5, 7, 5, 10, 11]
    assert rows["f"].tolist() == [2, 4, 0.5, 6, 8, 6, 9, 12]


def test_missing_values_of_every_kind_are_missing_and_nan_is_a_value(client: optistore.Client, key: str) -> None:
    frame = pd.DataFrame(
        {
            "x": pd.array([1.0, None, 3.0], dtype="Float64"),
            "f": [1.0, float("nan"), 3.0],
            "n": [1.0, float("nan"), 3.0],
            "ok": pd.array([True, None, False], dtype="boolean"),
            "s": ["a", None, ""],
        }
    )
    masked = np.ma.MaskedArray([1.5, 2.5], [True, False])
    with client.save(key, EVERY) as run:
        run.append(frame)
        run.append({"x": masked, "f": masked, "n": [None, 5], "ok": [None, True], "s": np.array([None, "c"], object)})
    rows = client.load(key)
    assert rows["x"].tolist() == [1, None, 3, None, 2.5]
    assert [np.isnan(value) if value is not None else None for value in rows["f"].tolist()] == [False, True, False, None, False]
    assert rows["n"].tolist() == [1, None, 3, None, 5]
    assert rows["ok"].tolist() == [True, None, False, None, True]
    assert rows["s"].tolist() == ["a", None, "", None, "c"]
    assert rows["x"].mean() == pytest.approx(6.5 / 3)


def test_what_stands_for_missing_does_so_alone_in_lists_and_in_every_type_of_pandas(client: optistore.Client, key: str) -> None:
    with client.save(key, EVERY) as run:
        run.append({"x": pd.NA, "f": 1.0, "n": np.ma.masked, "ok": None, "s": pd.NA})
        run.append({"x": [pd.NA], "f": [np.ma.masked], "n": [pd.NA], "ok": [pd.NA], "s": [pd.NA]})
        run.append(
            pd.DataFrame(
                {
                    "x": pd.array([None], dtype="double[pyarrow]"),
                    "f": pd.Series([float("nan")], dtype=object),
                    "n": pd.array([None], dtype="int64[pyarrow]"),
                    "ok": pd.array([None], dtype="bool[pyarrow]"),
                    "s": pd.array([None], dtype="string[pyarrow]"),
                }
            )
        )
    rows = client.load(key)
    assert [rows[name].tolist() for name in ("x", "n", "ok", "s")] == [[None] * 3] * 4
    # NaN is a value, also among objects.
    assert rows["f"].tolist()[:2] == [1, None] and np.isnan(rows["f"][2])


def test_pandas_gets_types_that_tell_missing_from_nan(client: optistore.Client, key: str) -> None:
    with client.save(key, EVERY) as run:
        run.append({"x": [0.5, 0.25], "f": [1, None], "n": [2**62 + 1, None], "ok": [None, True], "s": ["ä", None]})
    frame = client.load(key).to_pandas()
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "Float64", "Int64", "boolean", "string"]
    assert frame["n"][0] == 2**62 + 1 and frame["n"].isna().tolist() == [False, True]
    assert frame.index.name == "row" and frame.loc[1, "x"] == 0.25
    with client.save(key, EVERY) as again:
        again.append(frame)
    assert client.load(key).to_pandas().equals(frame)


def test_arrow_gets_the_same_values_with_roles_and_units(client: optistore.Client, key: str) -> None:
    with client.save(key, EVERY) as run:
        run.append({"x": [0.5, 0.25], "f": [1, None], "n": [2**62 + 1, None], "ok": [None, True], "s": ["ä", None]})
    rows = client.load(key)
    table = rows.to_arrow()
    assert table.to_pydict() == {
        "x": [0.5, 0.25],
        "f": [1, None],
        "n": [2**62 + 1, None],
        "ok": [None, True],
        "s": ["ä", None],
    }
    table.validate(full=True)
    assert table.schema.types == [pa.float64(), pa.float64(), pa.int64(), pa.bool_(), pa.string()]
    bounds = {b"lower_bound": b"-1.0", b"upper_bound": b"1.0"}
    assert table.schema.field("x").metadata == {b"role": b"design_variable", b"unit": b"mm", **bounds}
    assert table.schema.field("f").metadata == {b"role": b"objective", b"direction": b"maximize"}
    # Without a copy.
    assert table["x"].chunk(0).buffers()[1].address == rows["x"].ctypes.data


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ({"x": [1.0]}, '"f"'),
        ({"x": [1.0], "f": [1.0], "y": [1.0]}, '"y"'),
        ({"x": [1.0], "f": [1.0, 2.0]}, '"f"'),
        ({"x": ["one"], "f": [1.0]}, '"x"'),
        ({"x": [True], "f": [1.0]}, '"x"'),
        ({"x": np.array(["one"]), "f": [1.0]}, '"x"'),
        ({"x": np.array([[1.0]]), "f": [1.0]}, '"x"'),
        ({"x": 1.0, "f": "two"}, '"f"'),
        (np.zeros((2, 3)), "(2, 3)"),
        ([{"x": 1.0}], '"f"'),
        ([1.0], "row 0"),
        ("text", "str"),
        ({"x": {}, "f": [1.0]}, '"x"'),
        ({"x": {1.0}, "f": [1.0]}, '"x"'),
        ({"x": pd.DataFrame({"x": [1.0]}), "f": [1.0]}, '"x"'),
        (pd.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "x", "f"]), 'two columns "x"'),
        ({"x": 10**400, "f": 1.0}, '"x"'),
        ({"x": [10**400], "f": [1.0]}, '"x"'),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name_and_none_of_them_is_kept(
    client: optistore.Client, key: str, rows: object, named: str
) -> None:
    with client.save(key, XF) as run:
        run.append({"x": 1.0, "f": 2.0})
        with pytest.raises((ValueError, TypeError)) as refused:
            run.append(rows)
        assert named in str(refused.value)
        assert run.next_row == 1
    assert client.load(key)["x"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("value", "named"),
    [(2**63, "int64"), (0.5, "int64"), (float("nan"), "int64"), (np.uint64(2**63), "int64"), (True, "bool")],
)
def test_numbers_that_are_no_int64_are_refused(client: optistore.Client, key: str, value: object, named: str) -> None:
    with client.save(key, [observable("n", type=int)]) as run:
        for rows in ({"n": value}, {"n": [value]}, {"n": np.array([value])}):
            with pytest.raises((ValueError, TypeError), match=named):
                run.append(rows)


def test_text_that_is_too_long_or_no_unicode_is_refused(client: optistore.Client, key: str) -> None:
    with client.save(key, [observable("s", type=str)]) as run:
        with pytest.raises(ValueError, match="65536"):
            run.append({"s": "ä" * 32769})
        with pytest.raises(ValueError, match="surrogate"):
            run.append({"s": ["\ud800"]})
        run.append({"s": "ä" * 32768})


def test_a_row_with_too_much_text_is_refused_and_the_save_goes_on(client: optistore.Client, key: str) -> None:
    names = [f"s{i}" for i in range(20)]
    with client.save(key, [observable(name, type=str) for name in names]) as run:
        for text in ("a" * 60_000, ["a" * 60_000]):
            with pytest.raises(ValueError, match="1200000 bytes of text"):
                run.append(dict.fromkeys(names, text))
        run.append(dict.fromkeys(names, "a" * 50_000))
    assert client.get(key).row_count == 1


def test_arrays_may_be_used_again_once_they_are_appended(client: optistore.Client, key: str) -> None:
    small, large = np.zeros(10), np.zeros(200_000)
    with client.save(key, XF) as run:
        for i in range(5):
            small[:], large[:] = i, i
            run.append({"x": small, "f": small})
            run.append({"x": large, "f": large})
        small[:], large[:] = -1, -1
    rows = client.load(key)
    assert len(rows) == 5 * 200_010
    assert rows["x"].min() == 0 and (np.diff(rows["x"]) >= 0).all()


def test_threads_that_share_a_writer_lose_no_row(client: optistore.Client, key: str) -> None:
    with client.save(key, XF) as run:

        def work(number: int) -> None:
            for i in range(500):
                run.append({"x": float(number), "f": float(i)})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows = client.load(key)
    for number in range(4):
        assert rows["f"][rows["x"] == number].tolist() == list(range(500))


def test_a_commit_that_is_under_way_takes_no_more_rows(client: optistore.Client, key: str) -> None:
    for i in range(20):
        run = client.save(f"{key}/{i}", XF)
        appended = 0

        def work() -> None:
            nonlocal appended
            with pytest.raises((ValueError, optistore.OptistoreError), match="takes no more rows"):
                while True:
                    run.append({"x": 1.0, "f": 1.0})
                    appended += 1

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.005)
        result = run.commit()
        thread.join()
        run.close()
        assert result.row_count == appended


def test_ctrl_c_within_an_append_loses_and_tears_no_row(client: optistore.Client, key: str) -> None:
    is_armed = False
    interrupts = 0

    def interrupt(*_: object) -> None:
        nonlocal is_armed, interrupts
        if is_armed:
            is_armed = False
            interrupts += 1
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        with client.save(key, EVERY) as run:
            while interrupts < 60:
                n = run.next_row
                try:
                    is_armed = True
                    run.append({"x": float(n), "f": float(n), "n": n, "ok": n % 2 == 0, "s": str(n)})
                    is_armed = False
                except KeyboardInterrupt:
                    pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    rows = client.load(key)
    wanted = list(range(len(rows)))
    assert rows["x"].tolist() == rows["f"].tolist() == rows["n"].tolist() == wanted
    assert rows["s"].tolist() == [str(n) for n in wanted] and rows["ok"].tolist() == [n % 2 == 0 for n in wanted]


def test_what_goes_wrong_while_rows_are_sent_ends_the_save(
    client: optistore.Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> bytes:
        raise MemoryError("not enough")

    run = client.save(key, XF)
    with monkeypatch.context() as patched:
        patched.setattr(_upload, "encode_batch", broken)
        run.append({"x": 1.0, "f": 1.0})
        with pytest.raises(optistore.OptistoreError, match="not enough"):
            run.flush()
    run.close()


def test_a_stream_that_is_over_takes_no_rows_of_the_next_one(client: optistore.Client, key: str) -> None:
    with client.save(key, XF) as run, run._lock:
        run.append({"x": 1.0, "f": 1.0})
        time.sleep(0.05)
        # Nothing but the opening.
        assert len(list(run._requests(object()))) == 1
    assert client.load(key)["x"].tolist() == [1]


def test_a_callback_that_would_wait_for_itself_is_refused(client: optistore.Client, key: str) -> None:
    def append_more(_: int) -> None:
        run.append({"x": 2.0, "f": 2.0})
        run.flush()

    run = client.save(key, XF, on_ack=append_more)
    run.append({"x": 1.0, "f": 1.0})
    with pytest.raises(optistore.OptistoreError, match="it would wait for"):
        while True:
            run.flush()
    run.close()


def test_a_process_that_was_forked_is_told_that_the_writer_is_not_its_own(client: optistore.Client, key: str) -> None:
    with client.save(key, XF) as run:
        run.append({"x": 1.0, "f": 1.0})
        child = os.fork()
        if child == 0:
            told = 1
            try:
                run.append({"x": 2.0, "f": 2.0})
            except RuntimeError:
                run.close()
                told = 0
            finally:
                os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.load(key)["x"].tolist() == [1]


def test_a_block_that_raises_leaves_the_save_open_and_the_next_one_goes_on(client: optistore.Client, key: str) -> None:
    with pytest.raises(ZeroDivisionError) as broken, client.save(key, XF, tags={"a": "b"}) as run:
        run.append({"x": [1.0, 2.0], "f": [3.0, 4.0]})
        raise ZeroDivisionError
    if hasattr(broken.value, "__notes__"):
        assert f"2 rows are safe; resume with upload id '{run.upload_id}'" in broken.value.__notes__[0]
    with pytest.raises(optistore.OptistoreError) as nothing:
        client.load(key)
    assert nothing.value.reason == "RESULT_NOT_FOUND"
    with client.save(key, XF, resume=True) as again:
        assert (again.upload_id, again.next_row) == (run.upload_id, 2)
        again.append({"x": 5.0, "f": 6.0})
    assert client.load(key)["x"].tolist() == [1, 2, 5]


def test_a_save_that_has_a_writer_is_not_taken_over_unasked(client: optistore.Client, key: str) -> None:
    with client.save(key, XF) as run:
        run.append({"x": 1.0, "f": 1.0})
        run.flush()
        with pytest.raises(optistore.OptistoreError, match=run.upload_id) as refused:
            client.save(key, XF, resume=True)
        assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION


def test_without_a_save_in_progress_resume_begins_one(client: optistore.Client, key: str) -> None:
    with client.save(key, XF, resume=True) as run:
        assert run.next_row == 0


def test_acks_are_told_and_a_commit_is_durable(client: optistore.Client, key: str) -> None:
    told: list[int] = []
    with client.save(key, XF, on_ack=told.append) as run:
        for i in range(10):
            run.append({"x": float(i), "f": 0.0})
            run.flush()
    assert told == list(range(1, 11))
    assert run.committed is not None and run.committed.row_count == 10


def test_the_mask_of_a_column_makes_a_result_set(client: optistore.Client, key: str) -> None:
    with client.save(key, XF) as run:
        run.append({"x": [1.0, 2.0, 3.0, None], "f": [4.0, 3.0, 2.0, 1.0]})
        run.commit(result_sets={"all": range(4)})
    rows = client.load(key)
    client.put_result_set(key, "large", rows["x"] > 1.5)
    chosen = client.load(key, result_set="large")
    assert chosen["f"].tolist() == [3, 2]
    assert chosen.row_numbers is not None and chosen.row_numbers.tolist() == [1, 2]
    assert chosen.to_pandas().index.tolist() == [1, 2]


@pytest.mark.parametrize(
    "rows",
    [[False, True, True], np.array([False, True, True]), pd.Series([False, True, True]), [1, 2], pd.Series([1, 2])],
)
def test_masks_and_numbers_of_any_kind_make_a_result_set(client: optistore.Client, key: str, rows: object) -> None:
    with client.save(key, XF) as run:
        run.append({"x": [1.0, 2.0, 3.0], "f": [3.0, 2.0, 1.0]})
        run.commit(result_sets={"some": rows})
    assert client.load(key, result_set="some")["x"].tolist() == [2, 3]


def test_a_sample_shows_a_large_result_and_tells_which_rows_it_has(client: optistore.Client, key: str) -> None:
    x = np.arange(20_000.0)
    f = np.random.default_rng(5).random(20_000)
    with client.save(key, XF) as run:
        run.append({"x": x, "f": f})
    rows = client.load(key, sample_rows=1000)
    assert rows.sample is not None and rows.sample.row_count == len(rows) <= 1000
    assert (rows["x"] == rows.row_numbers).all() and (rows["f"] == f[rows.row_numbers]).all()
    assert {0, 19_999, f.argmin(), f.argmax()} <= set(rows.row_numbers.tolist())
    assert rows.to_pandas().index.tolist() == rows.row_numbers.tolist()
    part = client.load(key, sample_rows=1000, rows=(100, 200), columns=["x"])
    assert part.first_row == 100 and part["x"].tolist() == rows["x"][100:200].tolist()
    whole = client.load(key, sample_rows=20_000)
    assert whole.sample is None and whole.row_numbers is None and (whole["f"] == f).all()


def test_a_load_of_a_sample_goes_on_with_the_same_rows_when_the_daemon_was_killed(daemon: Daemon) -> None:
    n = 700_000
    with optistore.connect(daemon.address) as client:
        with client.save("runs/large", XF) as run:
            run.append({"x": np.arange(float(n)), "f": np.arange(float(n))})
        wanted = client.load("runs/large", sample_rows=600_000, columns=["x"])
        broken: list[optistore.OptistoreError] = []
        found: list[optistore.Rows] = []
        for rows in client.load_batches("runs/large", sample_rows=600_000, on_reconnect=broken.append):
            if not found:
                daemon.kill()
                daemon.start()
            found.append(rows)
    assert len(broken) > 0
    assert np.concatenate([rows["x"] for rows in found]).tolist() == wanted["x"].tolist()
    assert all((rows["x"] == rows.row_numbers).all() and rows.sample == wanted.sample for rows in found)


def test_attributes_are_kept_exactly_or_refused_by_name(client: optistore.Client, key: str) -> None:
    with client.save(key, XF, attributes={"seed": np.int64(7), "weights": np.array([0.5, 1.5]), "pair": (1, "a")}):
        pass
    assert MessageToDict(client.get(key).attributes) == {"seed": 7, "weights": [0.5, 1.5], "pair": [1, "a"]}
    for wrong, named in (
        ({"run": {"seed": 2**53 + 1}}, r"attributes\.run\.seed"),
        ({"days": [datetime.date(2026, 1, 1)]}, r"attributes\.days\[0\]"),
        ({1: "one"}, "key 1"),
    ):
        with pytest.raises((ValueError, TypeError), match=named):
            client.update(key, attributes=wrong)


def test_a_save_without_rows_can_be_followed_and_its_problem_is_there_at_once(client: optistore.Client, key: str) -> None:
    with client.save(key, XF, upload_id=key.replace("/", ".")) as run:
        follower = client.follow(key)
        begun = follower.begin()
        assert (begun.upload_id, begun.row_count, [v.name for v in begun.problem.variables]) == (run.upload_id, 0, ["x", "f"])
        run.append({"x": 1.0, "f": 2.0})
        run.commit()
        assert [rows["x"].tolist() for rows in follower] == [[1.0]]
        assert follower.committed is not None and follower.committed.row_count == 1


def test_arguments_that_can_not_be_meant_are_refused(client: optistore.Client, key: str) -> None:
    for wrong in (
        lambda: client.load(key, rows=slice(0, 10, 2)),
        lambda: client.load(key, rows=(-5, None)),
        lambda: client.load(key, columns="x"),
        lambda: client.load(key, backend="third"),
        lambda: client.load(key, result_set=""),
        lambda: client.put_result_set(key, "none"),
        lambda: client.put_result_set(key, "s", [3, 1]),
        lambda: client.put_result_set(key, "s", [0.5, 1.5]),
        lambda: client.put_result_set(key, "s", np.ones((2, 1), bool)),
        lambda: client.update(key, outcome="done"),
        lambda: client.migrate(key, prefix="a", from_backend="primary", to_backend="cache"),
        lambda: objective("f", "smaller"),
        lambda: design_variable("x", type=complex),
    ):
        with pytest.raises((ValueError, TypeError)):
            wrong()


def test_an_error_keeps_its_reason_between_processes(client: optistore.Client, key: str) -> None:
    with pytest.raises(optistore.OptistoreError) as caught:
        client.get(key)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.reason, copy.code) == (str(caught.value), "RESULT_NOT_FOUND", grpc.StatusCode.NOT_FOUND)


def test_a_token_does_not_go_over_the_network_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTISTORE_TOKEN", "ost_secret")
    for address in ("example.org:50051", "10.0.0.1:50051", "[2001:db8::1]:50051"):
        with pytest.raises(optistore.OptistoreError, match="unencrypted"):
            optistore.connect(address)
    for address in ("127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/none"):
        optistore.connect(address).close()
    optistore.connect("example.org:50051", insecure=True).close()
    optistore.connect("example.org:50051", tls=True).close()
    with pytest.raises(optistore.OptistoreError, match="can't be read"):
        optistore.connect("example.org:50051", tls=optistore.Tls(ca="/nowhere.pem"))


def test_a_daemon_that_is_not_there_is_named_at_once(key: str) -> None:
    started = time.monotonic()
    with optistore.connect("127.0.0.1:1") as client:
        for call in (lambda: client.get(key), lambda: client.save(key, XF), lambda: client.load(key)):
            with pytest.raises(optistore.OptistoreError, match=r"No daemon answers at 127\.0\.0\.1:1") as away:
                call()
            assert away.value.is_retryable
    assert time.monotonic() - started < 30


def test_a_writer_gives_up_after_the_time_that_it_was_given_and_says_how_to_resume(daemon: Daemon) -> None:
    with optistore.connect(daemon.address, retry_s=0.3) as client:
        run = client.save("runs/1", XF, upload_id="mine")
        run.append({"x": [1.0], "f": [1.0]})
        run.flush()
        daemon.kill()
        with pytest.raises(optistore.OptistoreError, match="1 rows are safe; resume with upload id mine"):
            while True:
                run.append({"x": [1.0], "f": [1.0]})
                time.sleep(0.01)
        run.close()


def test_a_writer_gives_up_on_streams_that_are_opened_and_always_break() -> None:
    def cut(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests)
        yield SaveResultResponse(opened=SaveOpened(upload_id="mine")).SerializeToString()
        next(requests)
        # As a proxy does that takes no messages of this size.
        context.abort(grpc.StatusCode.UNKNOWN, "413")

    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.method_handlers_generic_handler(
        "optistore.v1.StorageService", {"SaveResult": grpc.stream_stream_rpc_method_handler(cut)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with optistore.connect(f"127.0.0.1:{port}", retry_s=0.5) as client:
            run = client.save("runs/cut", XF, upload_id="mine")
            run.append({"x": 1.0, "f": 1.0})
            with pytest.raises(optistore.OptistoreError, match="413"):
                run.flush()
            run.close()
    finally:
        server.stop(None)


def test_closing_tells_of_rows_that_could_not_be_made_durable(daemon: Daemon) -> None:
    with optistore.connect(daemon.address, retry_s=0.3) as client:
        run = client.save("runs/1", XF, upload_id="mine")
        run.flush()
        daemon.kill()
        run.append({"x": [1.0], "f": [1.0]})
        with pytest.raises(optistore.OptistoreError, match="0 rows are safe; resume with upload id mine"):
            run.close()
        run.close()


def test_a_writer_that_was_idle_goes_on_with_its_next_row(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start(stream_idle_timeout="1s")
    with optistore.connect(daemon.address) as client:
        with client.save("runs/idle", XF) as run:
            run.append({"x": 1.0, "f": 1.0})
            run.flush()
            wait_until_no_stream(client)
            run.append({"x": 2.0, "f": 2.0})
        assert client.load("runs/idle")["x"].tolist() == [1, 2]


def test_a_writer_whose_upload_was_committed_elsewhere_is_told_so(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start(stream_idle_timeout="1s")
    with optistore.connect(daemon.address) as client, optistore.connect(daemon.address) as other:
        run = client.save("runs/elsewhere", XF, upload_id="mine")
        run.append({"x": 1.0, "f": 1.0})
        run.flush()
        wait_until_no_stream(client)
        other.save("runs/elsewhere", XF, upload_id="mine").commit()
        run.append({"x": 2.0, "f": 2.0})
        with pytest.raises(optistore.OptistoreError, match="committed elsewhere with 1 rows") as told:
            run.flush()
        assert told.value.reason == "UPLOAD_COMMITTED"
        run.close()


def test_a_writer_whose_upload_another_one_had_meanwhile_is_told_so(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start(stream_idle_timeout="1s")
    with optistore.connect(daemon.address) as client, optistore.connect(daemon.address) as other:
        # A row of this writer has the number of one of the other's, however many these are: it would be left out as known.
        for added in (1, 3):
            run = client.save(f"runs/shared/{added}", XF, upload_id=f"mine-{added}")
            run.append({"x": 1.0, "f": 1.0})
            run.flush()
            wait_until_no_stream(client)
            intruder = other.save(f"runs/shared/{added}", XF, upload_id=f"mine-{added}")
            intruder.append({"x": np.arange(added) + 2.0, "f": np.zeros(added)})
            intruder.close()
            run.append({"x": 5.0, "f": 5.0})
            with pytest.raises(optistore.OptistoreError, match=f"has {added + 1} rows, where this writer has sent 1") as told:
                run.flush()
            assert told.value.reason == "UPLOAD_TAKEN_OVER"
            run.close()


def wait_until_no_stream(client: optistore.Client) -> None:
    until = time.monotonic() + 20
    while any(upload.has_stream for upload in client.list_uploads()):
        assert time.monotonic() < until, "the daemon let the stream go on"
        time.sleep(0.1)


def test_rows_beyond_what_may_wait_make_append_wait_for_the_daemon(daemon: Daemon) -> None:
    block = np.zeros(500_000)
    appended = 0
    with optistore.connect(daemon.address) as client, client.save("runs/pace", XF) as run:
        run.flush()
        daemon.kill()

        def work() -> None:
            nonlocal appended
            for _ in range(12):
                run.append({"x": block, "f": block})
                appended += 1

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(2)
        # 8 MB each: 32 MiB are kept, and one that did not fit any more.
        assert thread.is_alive() and 4 <= appended <= 6
        daemon.start()
        thread.join()
        assert run.flush() == 12 * len(block)


def test_rows_come_from_the_daemons_files_at_a_unix_socket(daemon: Daemon) -> None:
    daemon.kill()
    path = daemon.folder / "socket"
    daemon.start(socket=str(path), use_cache=False)
    n = 50_000
    random = np.random.default_rng(3)
    given = {
        "x": random.random(n),
        "f": np.ma.MaskedArray(random.random(n), random.random(n) < 0.2),
        "n": random.integers(-(2**63), 2**63 - 1, n),
        "ok": random.random(n) < 0.5,
        "s": [f"row {i} ß" if i % 7 else None for i in range(n)],
    }
    with optistore.connect(f"unix:{path}") as client:
        with client.save("runs/files", EVERY) as run:
            run.append(given)
        for rows in (None, (0, 1), (13, 1263), (n - 9, None), (3, 3)):
            first, end = (0, n) if rows is None else (rows[0], n if rows[1] is None else rows[1])
            streamed = client.load("runs/files", rows=rows, local_files=False)
            mapped = client.load("runs/files", rows=rows)
            for name in streamed:
                wanted = given[name][first:end]
                assert (
                    mapped[name].tolist()
                    == streamed[name].tolist()
                    == (wanted if isinstance(wanted, list) else wanted.tolist())
                ), name
        views = list(client.load_batches("runs/files", columns=["x"]))
        assert not any(rows["x"].flags.owndata or rows["x"].flags.writeable for rows in views)
        # What is damaged is told, or another copy is served, by the daemon: not by the client.
        for file in daemon.folder.rglob("*.seg"):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        with pytest.raises(optistore.OptistoreError) as corrupt:
            client.load("runs/files")
        assert corrupt.value.reason == "RESULT_CORRUPT"


def test_batches_of_a_large_result_take_little_memory(client: optistore.Client, key: str) -> None:
    variables = [design_variable(f"c{i}") for i in range(20)]
    block = {f"c{i}": np.random.default_rng(i).random(25_000) for i in range(20)}
    with client.save(key, variables) as run:
        for _ in range(40):
            run.append(block)
    assert client.get(key).row_count == 1_000_000
    before = resident_bytes()
    most = total = 0
    for rows in client.load_batches(key):
        total += len(rows)
        most = max(most, resident_bytes())
    assert total == 1_000_000
    # The result has 160 MB.
    assert most - before < 64e6


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_batch_that_is_kept_stays_as_it_was(client: optistore.Client, key: str) -> None:
    x = np.arange(300_000.0)
    with client.save(key, XF) as run:
        run.append({"x": x, "f": x})
    batches = list(client.load_batches(key, max_batch_bytes=65536))
    assert np.concatenate([rows["x"] for rows in batches]).tolist() == x.tolist()
    assert all(rows["x"].flags.aligned for rows in batches)
