import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ValueType } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ColumnSummary } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Batch, Column } from './batch.js';
import { Feasibility, type Numbers } from './front/feasibility.js';
import { objectivesOf, type Objective } from './front/objectives.js';
import { bitsAsBytes } from './validity.js';

/** An objective and the best of its feasible values so far; undefined before the first. */
interface BestObjective extends Objective {
  best: number | undefined;
}

/** The best feasible value of each objective of a run: see ColumnSummary.best. Strings neither constrain nor improve. */
export class BestValues {
  private readonly feasibility: Feasibility;
  private readonly objectives: BestObjective[];

  /** Starts empty, or goes on from summaries that were kept. */
  constructor(
    private readonly variables: readonly Variable[],
    from?: readonly ColumnSummary[],
  ) {
    this.feasibility = new Feasibility(variables);
    this.objectives = objectivesOf(variables).map((objective) => ({
      ...objective,
      best: from?.[objective.index]?.best,
    }));
  }

  /** Takes the rows that come next. */
  add(batch: Batch): void {
    if (this.objectives.length === 0) return;
    const feasible = this.feasibility.of(batch.rowCount, (index) => numbersIn(batch, this.variables, index));
    for (const objective of this.objectives) this.improve(objective, batch, feasible);
  }

  private improve(objective: BestObjective, batch: Batch, feasible: Uint8Array): void {
    const { values, present } = numbersIn(batch, this.variables, objective.index);
    let best = objective.best ?? NaN;
    for (let row = 0; row < feasible.length; row++) {
      if (feasible[row] === 0 || present?.[row] === 0) continue;
      const value = values[row] as number;
      // Against NaN, which is none yet, nothing compares.
      const isWorse = objective.isMaximized ? value <= best : value >= best;
      if (value === value && !isWorse) best = value;
    }
    if (best === best) objective.best = best;
  }

  /** The best value of a column; undefined where there is none. */
  of(index: number): number | undefined {
    return this.objectives.find((objective) => objective.index === index)?.best;
  }
}

/** A number column of a batch; int64 beyond 2^53 rounded. */
export function numbersIn(batch: Batch, variables: readonly Variable[], index: number): Numbers {
  const column = batch.columns[index] as Column;
  const values = numbersOf(column, variables[index]?.valueType);
  return { values, present: column.validity && bitsAsBytes(column.validity, batch.rowCount) };
}

function numbersOf({ values }: Column, type: ValueType | undefined): Float64Array | Uint8Array {
  if (type === ValueType.BOOL) return values;
  // Not `slice`: of a Buffer that is a view.
  const { buffer } = values.byteOffset % 8 === 0 ? values : new Uint8Array(values);
  const offset = values.byteOffset % 8 === 0 ? values.byteOffset : 0;
  if (type === ValueType.FLOAT64) return new Float64Array(buffer, offset, values.byteLength / 8);
  return Float64Array.from(new BigInt64Array(buffer, offset, values.byteLength / 8), Number);
}
