"""Streams a run while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal

import pymoo
from pymoo.core.callback import Callback
from pymoo.core.evaluator import Evaluator

from .._calls import OutcomeName
from ..client import Client
from ..errors import OptistoreError
from ..v1.problem_pb2 import Problem
from ..v1.result_pb2 import Result
from ..writer import Writer
from .layout import VALUES, Layout
from .stream import ROW, Stream

#: The named subset that a commit comes with: the rows of the algorithm's optimum.
OPTIMUM = "optimum"


class OptistoreCallback(Callback):  # type: ignore[misc]
    """Streams every evaluation of a run: X, F, G, H, its generation, and whether it is feasible.

    Pass its ``evaluator`` along with it: then a run that is resumed takes what was evaluated before from the store. Without it
    the first generation is evaluated before the callback is asked: it is streamed then, and evaluated anew when the run is
    resumed.

    To resume after a kill of the solver, run the same again: the same key, algorithm and seed. What comes from another run is
    refused with ValueError. An algorithm that was restored from a checkpoint goes on where that was taken.

    The run is committed when its termination has come, or at the end of a ``with`` block; where the block raises, it is left
    open to be resumed.

    Args:
        client: A connection; it is not closed.
        key: Where the result is to be kept.
        upload_id: Names the save. None: the one of this key that is in progress, or a new one.
        names: Names of the columns in the place of x1, x2, …, f1, …, g1, …, h1, …, by ``"X"``, ``"F"``, ``"G"`` and ``"H"``.
        tags: Short labels for finding it.
        attributes: Free structured facts.
        description: Free text.
        replicate: Copies it to the secondary.
    """

    def __init__(
        self,
        client: Client,
        key: str,
        *,
        upload_id: str | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
        tags: Mapping[str, str] | None = None,
        attributes: Mapping[str, Any] | None = None,
        description: str = "",
        replicate: bool | Literal["sync"] | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._key = key
        self._names = names or {}
        self._options: dict[str, Any] = {
            "upload_id": upload_id,
            "resume": upload_id is None,
            "tags": tags,
            "attributes": attributes,
            "description": description,
            "replicate": replicate,
        }
        self._stream: Stream | None = None
        self._optimum: Any = None
        self._result: Result | None = None
        #: For ``minimize(…, evaluator=callback.evaluator)``.
        self.evaluator = StreamingEvaluator(self)

    @property
    def writer(self) -> Writer | None:
        """The save; None before the first evaluation."""
        return None if self._stream is None else self._stream.writer

    @property
    def result(self) -> Result | None:
        """What was committed; None before."""
        return self._result

    def notify(self, algorithm: Any) -> None:
        """Called by pymoo after each generation."""
        if self._result is not None:
            return
        if algorithm.evaluator is not self.evaluator:
            self._take_over(algorithm)
        self._optimum = algorithm.opt
        if algorithm.termination.has_terminated():
            self.commit()

    def _take_over(self, algorithm: Any) -> None:
        """The first generation that is seen was evaluated by another evaluator; the next ones are by this."""
        evaluated = algorithm.off if algorithm.off is not None else algorithm.pop
        count = algorithm.evaluator.n_eval
        stream = self.stream(algorithm, count - len(evaluated))
        stream.record(evaluated, algorithm.n_iter)
        self.evaluator.n_eval = count
        algorithm.evaluator = self.evaluator

    def stream(self, algorithm: Any, position: int) -> Stream:
        """Where evaluations go, the next of which has the number ``position``; the save is opened by the first."""
        if self._stream is None:
            layout = Layout(algorithm.problem, self._names)
            solver = f"pymoo {type(algorithm).__name__} {pymoo.__version__}"
            problem = Problem(name=_name_of(algorithm.problem), solver=solver, variables=layout.variables)
            writer = self._client.save(self._key, problem, **self._options)
            self._stream = Stream(self._client, self._key, writer, layout, position)
        return self._stream

    def commit(self, outcome: OutcomeName = "finished") -> Result | None:
        """Ends the run; the rows of the algorithm's optimum become the set ``optimum``. None where nothing was evaluated."""
        if self._result is None and self._stream is not None:
            rows = [] if self._optimum is None else [individual.data.get(ROW) for individual in self._optimum]
            known = sorted({row for row in rows if row is not None})
            self._result = self._stream.writer.commit(outcome, {OPTIMUM: known})
            self._stream.writer.close()
        return self._result

    def close(self) -> None:
        """Makes what was evaluated durable; where it was not committed, it can be resumed."""
        if self._stream is not None:
            self._stream.writer.close()

    def __enter__(self) -> OptistoreCallback:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            # What went wrong already is what is told.
            with contextlib.suppress(OptistoreError):
                self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> OptistoreCallback:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A connection can't be kept in a checkpoint: an algorithm that is restored is given a new callback.
        return (Callback, ())


class StreamingEvaluator(Evaluator):  # type: ignore[misc]
    """Evaluates, and streams what it evaluated; what is stored of the run already is not evaluated again."""

    def __init__(self, callback: OptistoreCallback) -> None:
        super().__init__()
        self._callback = callback

    def _eval(self, problem: Any, pop: Any, evaluate_values_of: Sequence[str], **kwargs: Any) -> None:
        algorithm = kwargs.get("algorithm")
        if algorithm is None:
            super()._eval(problem, pop, evaluate_values_of, **kwargs)
            return
        stream = self._callback.stream(algorithm, self.n_eval)
        known = stream.recall(pop) if set(evaluate_values_of) <= set(VALUES) else 0
        rest = pop[known:]
        if len(rest) > 0:
            super()._eval(problem, rest, evaluate_values_of, **kwargs)
            stream.record(rest, algorithm.n_iter)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _plain_evaluator(self.n_eval)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_plain_evaluator, (self.n_eval,))


def _plain_evaluator(n_eval: int) -> Any:
    """What stands in a copy or a checkpoint of an algorithm."""
    evaluator = Evaluator()
    evaluator.n_eval = n_eval
    return evaluator


def _name_of(problem: Any) -> str:
    return str(problem.name()) if callable(getattr(problem, "name", None)) else type(problem).__name__
