import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Direction, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import type { ColumnSummary } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Batch, Column } from './batch.js';
import { bitsAsBytes } from './validity.js';

const TOLERANCE_DEFAULT = 1e-6;

/** A constraint holds for values that are from `low` to `high` beyond `target`; so it does for none that is NaN. */
interface Constraint {
  readonly index: number;
  readonly target: number;
  readonly low: number;
  readonly high: number;
}

/** An objective and the best of its feasible values so far; undefined before the first. */
interface Objective {
  readonly index: number;
  readonly isMaximized: boolean;
  best: number | undefined;
}

/** The best feasible value of each objective of a run: see ColumnSummary.best. Strings neither constrain nor improve. */
export class BestValues {
  private readonly constraints: Constraint[];
  private readonly objectives: Objective[];

  /** Starts empty, or goes on from summaries that were kept. */
  constructor(
    private readonly variables: readonly Variable[],
    from?: readonly ColumnSummary[],
  ) {
    this.constraints = variables.flatMap((variable, index) => constraintOf(variable, index) ?? []);
    this.objectives = variables.flatMap(({ role, valueType, direction }, index) =>
      role === VariableRole.OBJECTIVE && (valueType === ValueType.FLOAT64 || valueType === ValueType.INT64)
        ? [{ index, isMaximized: direction === Direction.MAXIMIZE, best: from?.[index]?.best }]
        : [],
    );
  }

  /** Takes the rows that come next. */
  add(batch: Batch): void {
    if (this.objectives.length === 0) return;
    const feasible = new Uint8Array(batch.rowCount).fill(1);
    for (const { index, target, low, high } of this.constraints) {
      const { values, present } = this.valuesOf(batch, index);
      for (let row = 0; row < feasible.length; row++) {
        const value = (values[row] as number) - target;
        if (!(value >= low && value <= high) || present?.[row] === 0) feasible[row] = 0;
      }
    }
    for (const objective of this.objectives) this.improve(objective, batch, feasible);
  }

  private improve(objective: Objective, batch: Batch, feasible: Uint8Array): void {
    const { values, present } = this.valuesOf(batch, objective.index);
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

  private valuesOf(batch: Batch, index: number) {
    const column = batch.columns[index] as Column;
    const values = numbersOf(column, this.variables[index]?.valueType);
    return { values, present: column.validity && bitsAsBytes(column.validity, batch.rowCount) };
  }

  /** The best value of a column; undefined where there is none. */
  of(index: number): number | undefined {
    return this.objectives.find((objective) => objective.index === index)?.best;
  }
}

function constraintOf(variable: Variable, index: number): Constraint | undefined {
  if (variable.valueType === ValueType.STRING) return undefined;
  const { lowerBound, upperBound, target = 0, tolerance = TOLERANCE_DEFAULT } = variable;
  switch (variable.role) {
    case VariableRole.INEQUALITY_CONSTRAINT: {
      const high = upperBound ?? (lowerBound === undefined ? 0 : Infinity);
      return { index, target: 0, low: lowerBound ?? -Infinity, high };
    }
    case VariableRole.EQUALITY_CONSTRAINT:
      return { index, target, low: -tolerance, high: tolerance };
    case VariableRole.UNSPECIFIED:
    case VariableRole.DESIGN_VARIABLE:
    case VariableRole.OBJECTIVE:
    case VariableRole.OBSERVABLE:
      return undefined;
    default:
      return variable.role satisfies never;
  }
}

/** The values as numbers; int64 beyond 2^53 rounded. */
function numbersOf({ values }: Column, type: ValueType | undefined): Float64Array | Uint8Array {
  if (type === ValueType.BOOL) return values;
  // Not `slice`: of a Buffer that is a view.
  const { buffer } = values.byteOffset % 8 === 0 ? values : new Uint8Array(values);
  const offset = values.byteOffset % 8 === 0 ? values.byteOffset : 0;
  if (type === ValueType.FLOAT64) return new Float64Array(buffer, offset, values.byteLength / 8);
  return Float64Array.from(new BigInt64Array(buffer, offset, values.byteLength / 8), Number);
}
