"""pymoo: runs are streamed while they run, resumed after a kill, and read back as populations.

Example:
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> import optistore
    >>> from optistore.pymoo import OptistoreCallback, load_population
    >>> with optistore.connect() as client, OptistoreCallback(client, "runs/bnh") as callback:
    ...     result = minimize(
    ...         get_problem("bnh"), NSGA2(40), ("n_gen", 20), seed=1, callback=callback, evaluator=callback.evaluator
    ...     )
    ...     population = load_population(client, "runs/bnh")
"""

from __future__ import annotations

try:
    import pymoo as _pymoo  # noqa: F401
except ImportError as error:
    raise ImportError('optistore.pymoo needs pymoo: pip install "optistore[pymoo]"') from error

from .callback import OptistoreCallback
from .population import load_population

__all__ = ["OptistoreCallback", "load_population"]
