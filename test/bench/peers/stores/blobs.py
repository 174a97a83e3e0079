import pickle

import sqlalchemy as sql

from peer import Store


class Blobs(Store):
    """SQLAlchemy and SQLite in this process, a pickled blob a column: SQLite takes none of 1 GB."""

    name = "sqlalchemy"
    title = "SQLAlchemy and SQLite in process"
    table = sql.Table(
        "blobs",
        sql.MetaData(),
        sql.Column("result", sql.String, primary_key=True),
        sql.Column("name", sql.String, primary_key=True),
        sql.Column("value", sql.LargeBinary),
    )

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.engine = sql.create_engine(f"sqlite:///{self.folder / 'blobs.db'}")
        self.table.metadata.create_all(self.engine)

    def save(self, key, result):
        with self.engine.begin() as connection:
            for name, values in result.items():
                row = {"result": key, "name": name, "value": pickle.dumps(values, protocol=5)}
                connection.execute(self.table.insert(), row)

    def load(self, key):
        query = sql.select(self.table.c.name, self.table.c.value).where(self.table.c.result == key)
        with self.engine.connect() as connection:
            columns = {name: pickle.loads(value) for name, value in connection.execute(query)}
        return sum(values.nbytes for values in columns.values())
