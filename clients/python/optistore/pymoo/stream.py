"""Evaluations on their way into a save."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._resume import rows_until
from ..client import Client
from ..writer import Writer
from .layout import VALUES, Layout

#: Where an individual keeps the number of its row.
ROW = "optistore_row"


class Stream:
    """Evaluations on their way into a save, some of which may be there from an earlier run."""

    def __init__(self, client: Client, key: str, writer: Writer, layout: Layout, position: int) -> None:
        self.writer = writer
        self._layout = layout
        self._position = position
        #: Rows of an earlier run are those before this one.
        self._known_end = writer.next_row
        if position > self._known_end:
            raise ValueError(
                f"the algorithm has evaluated {position} designs before this callback saw it, but the save "
                f"{writer.upload_id} has only {self._known_end}: begin anew, or go on from an earlier checkpoint"
            )
        self._known = _KnownRows(client, key, writer.upload_id, position, self._known_end)

    def recall(self, population: Any) -> int:
        """Gives individuals, from the first on, the values that are stored of them; how many that were."""
        count = min(len(population), self._known_end - self._position)
        if count <= 0:
            return 0
        values = self._check(population[:count])
        for i, individual in enumerate(population[:count]):
            for letter, names in (("F", self._layout.f), ("G", self._layout.g), ("H", self._layout.h)):
                setattr(individual, letter, np.array([values[name][i] for name in names], float))
            individual.evaluated.update(VALUES)
        return count

    def record(self, population: Any, generation: int | None) -> None:
        """Takes individuals that are evaluated; those that are stored already are only compared."""
        known = min(len(population), self._known_end - self._position)
        if known > 0:
            self._check(population[:known])
            population = population[known:]
        if len(population) > 0:
            self.writer.append(self._layout.columns(population, generation))
            self._number(population)

    def _number(self, population: Any) -> None:
        for individual in population:
            individual.data[ROW] = self._position
            self._position += 1

    def _check(self, population: Any) -> dict[str, Any]:
        """The stored rows of individuals. ValueError where these have other designs."""
        values = self._known.take(len(population))
        for name, here in self._layout.designs(population).items():
            there = values[name]
            differs = [i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b and not (a != a and b != b)]
            if differs:
                raise ValueError(
                    f"row {self._position + differs[0]} of the save {self.writer.upload_id} has {name} = "
                    f"{there[differs[0]]!r}, where this run has {here[differs[0]]!r}: it is another run. Resume with the same "
                    "algorithm and seed; or give the old save up by client.abort_upload(upload_id) to begin anew."
                )
        self._number(population)
        return values


class _KnownRows:
    """The rows of a save in progress, read along."""

    def __init__(self, client: Client, key: str, upload_id: str, first: int, end: int) -> None:
        self._batches = rows_until(end, client.follow(key, upload_id=upload_id, first_row=first))
        self._rows: dict[str, Any] = {}
        self._left = 0
        self._at = 0

    def take(self, count: int) -> dict[str, Any]:
        """The next rows."""
        parts: list[dict[str, Any]] = []
        while count > 0:
            if self._left == 0:
                rows = next(self._batches)
                self._rows = {name: np.ma.getdata(rows[name]) for name in rows}
                self._at, self._left = 0, len(rows)
            n = min(count, self._left)
            parts.append({name: values[self._at : self._at + n] for name, values in self._rows.items()})
            self._at += n
            self._left -= n
            count -= n
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
