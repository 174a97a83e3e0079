"""optistore: keeps the results of optimization runs.

Example:
    >>> import optistore
    >>> with optistore.connect() as client:
    ...     with client.save("runs/1", [optistore.design_variable("x"), optistore.objective("f")]) as run:
    ...         run.append({"x": [0.5, 0.25], "f": [1.0, 2.0]})
    ...     client.load("runs/1")["f"].min()
    1.0
"""

from ._calls import OutcomeName, StoreRole
from ._connection import Tls
from .client import Client, Follower, connect
from .errors import OptistoreError
from .problem import design_variable, equality_constraint, inequality_constraint, objective, observable
from .rows import Rows
from .v1.problem_pb2 import Problem, Variable
from .v1.result_pb2 import Result, ResultSet
from .writer import Writer

__all__ = [
    "Client",
    "Follower",
    "OptistoreError",
    "OutcomeName",
    "Problem",
    "Result",
    "ResultSet",
    "Rows",
    "StoreRole",
    "Tls",
    "Variable",
    "Writer",
    "connect",
    "design_variable",
    "equality_constraint",
    "inequality_constraint",
    "objective",
    "observable",
]
