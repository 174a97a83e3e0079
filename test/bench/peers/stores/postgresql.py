import io

import numpy as np
import psycopg

import workload
from peer import Store
from workload import COLUMNS, ROWS_APPENDED

COLUMN_NAMES = [f"v{i}" for i in range(COLUMNS)]
DECLARED = ", ".join(f"{name} float8" for name in COLUMN_NAMES)


class Postgresql(Store):
    """PostgreSQL by psycopg 3; each save is a transaction, durable when it is committed."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.connection = psycopg.connect(self.given, autocommit=True)

    def figures(self):
        with self.connection:
            yield from super().figures()


class Bytea(Postgresql):
    """A batch of 1 MiB, its columns one behind the other, is a bytea."""

    name = "postgres_bytea"
    title = "PostgreSQL, bytea of 1 MiB"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.connection.execute("CREATE TABLE batches (result text, number int, data bytea, PRIMARY KEY (result, number))")
        # No try to compress what has no pattern.
        self.connection.execute("ALTER TABLE batches ALTER data SET STORAGE EXTERNAL")

    def prepared(self, batches):
        return [np.concatenate(list(batch.values())) for batch in batches]

    def save(self, key, result):
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for number, batch in enumerate(result):
                cursor.execute("INSERT INTO batches VALUES (%s, %s, %b)", (key, number, batch.data.cast("B")))

    def load(self, key):
        query = "SELECT data FROM batches WHERE result = %s ORDER BY number"
        with self.connection.cursor(binary=True) as cursor:
            batches = [np.frombuffer(data).reshape(COLUMNS, -1) for (data,) in cursor.stream(query, (key,))]
        return sum(batch.nbytes for batch in batches)

    def appends(self):
        self.connection.execute(f"CREATE TABLE appended ({DECLARED})")
        yield self.figure("rows", "one-row appends, INSERT and commit each", "rows/s", ROWS_APPENDED, self.append_rows)

    def append_rows(self):
        insert = f"INSERT INTO appended VALUES ({', '.join(['%b'] * COLUMNS)})"
        row = [values.item() for values in workload.noise(1).values()]
        for _ in range(ROWS_APPENDED):
            self.connection.execute(insert, row, prepare=True)


class CopyBinary(Postgresql):
    """A table a result, a float8 a value, by COPY BINARY."""

    name = "postgres_copy"
    title = "PostgreSQL, COPY BINARY"
    # What stands before all rows and behind them, and a row: its count of values, and each one's length before it.
    HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    TAIL = b"\xff\xff"
    ROW = np.dtype([("count", ">i2"), *((name, [("bytes", ">i4"), ("value", ">f8")]) for name in COLUMN_NAMES)])

    def prepared(self, batches):
        return batches

    def save(self, key, result):
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {key} ({DECLARED})")
            with cursor.copy(f"COPY {key} FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(self.HEAD)
                for batch in result:
                    copy.write(self.encoded(batch))
                copy.write(self.TAIL)

    def encoded(self, batch):
        rows = np.empty(len(batch["v0"]), self.ROW)
        rows["count"] = COLUMNS
        for name, values in batch.items():
            rows[name]["bytes"] = 8
            rows[name]["value"] = values
        return rows.tobytes()

    def load(self, key):
        told = io.BytesIO()
        with self.connection.cursor() as cursor, cursor.copy(f"COPY {key} TO STDOUT (FORMAT BINARY)") as copy:
            for data in copy:
                told.write(data)
        values = told.getbuffer()[len(self.HEAD) : -len(self.TAIL)]
        rows = np.frombuffer(values, self.ROW)
        return sum(rows[name]["value"].astype("<f8").nbytes for name in COLUMN_NAMES)
