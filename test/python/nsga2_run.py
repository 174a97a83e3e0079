"""A solver that can be killed: NSGA-II on BNH, slowly. Arguments: address, key, seconds a generation."""

from __future__ import annotations

import sys
import time

import optistore
from optistore.pymoo import OptistoreCallback
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from pymoo.problems import get_problem


class Slow(ElementwiseProblem):
    """BNH, which tells each evaluation."""

    def __init__(self, pause_s: float) -> None:
        self.inner = get_problem("bnh")
        self.pause_s = pause_s
        super().__init__(n_var=2, n_obj=2, n_ieq_constr=2, xl=self.inner.xl, xu=self.inner.xu)

    def _evaluate(self, x, out, *args, **kwargs) -> None:
        out["F"], out["G"] = self.inner.evaluate(x, return_values_of=["F", "G"])
        print("evaluated", flush=True)
        time.sleep(self.pause_s)


def main(address: str, key: str, pause_s: float) -> None:
    with optistore.connect(address) as client, OptistoreCallback(client, key) as callback:
        minimize(
            Slow(pause_s), NSGA2(20), ("n_gen", 15), seed=7, callback=callback, evaluator=callback.evaluator, verbose=False
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
