import { ValueType, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { isFarBeyond, rangeNearFront } from '../../../server/rows/front/front-range.js';
import { goalsOf, type Goals } from '../../../server/rows/front/goals.js';
import { boxOf, shareOf } from '../../../server/rows/front/hypervolume-box.js';
import { readPoint, type Objective } from '../../../server/rows/front/objectives.js';
import { RowClass, RowClasses } from '../../../server/rows/front/row-classes.js';
import { extentOf } from '../../../server/rows/front/value-range.js';
import { valueAt, type LoadedBatch } from '../../typescript/index.js';
import type { Kind } from './chart.js';

/** Rows of a run as far as a plot needs them; more may come. */
export class RunRows {
  private readonly goals: Goals;
  private readonly classes: RowClasses;
  private readonly columns: number[][];
  /** The rows' numbers in the result. */
  readonly numbers: number[] = [];

  constructor(private readonly variables: readonly Variable[]) {
    this.goals = goalsOf(variables);
    this.classes = new RowClasses(this.goals);
    this.columns = variables.map(() => []);
  }

  get objectives(): readonly Objective[] {
    return this.goals.objectives;
  }

  get rowCount(): number {
    return this.numbers.length;
  }

  take({ firstRow, rowCount, rowNumbers, columns }: LoadedBatch): void {
    for (let row = 0; row < rowCount; row++) this.numbers.push(rowNumbers?.[row] ?? firstRow + row);
    for (const [i, { name, valueType }] of this.variables.entries()) {
      const column = columns[name];
      const values = this.columns[i] as number[];
      if (column === undefined || valueType === ValueType.STRING) continue;
      for (let row = 0; row < rowCount; row++) {
        const value = valueAt(column, row);
        values.push(value === null ? NaN : Number(value));
      }
    }
  }

  /** A column by its name; NaN is missing. Undefined: there is none, or it has texts. */
  valuesOf(name: string): readonly number[] | undefined {
    const i = this.variables.findIndex((variable) => variable.name === name);
    return this.variables[i]?.valueType === ValueType.STRING ? undefined : this.columns[i];
  }

  /** What each row is; with fewer than two objectives none is dominated, and none on a front. */
  kinds(): Kind[] {
    return Array.from(this.rowClasses(), (one): Kind => {
      if (one === RowClass.INFEASIBLE) return 'infeasible';
      return one === RowClass.FRONT && this.objectives.length > 1 ? 'front' : 'dominated';
    });
  }

  /** Whether each row is near the front, in a plot of two columns; all are where no row is far from it, or there is no front. */
  nearFront(x: string, y: string): (row: number) => boolean {
    const [alongX, alongY] = [this.axisNearFront(x), this.axisNearFront(y)];
    if (alongX === undefined || alongY === undefined || !(alongX.isFar || alongY.isFar)) return () => true;
    return (row) => alongX.isNear(row) && alongY.isNear(row);
  }

  private axisNearFront(name: string) {
    const index = this.variables.findIndex((variable) => variable.name === name);
    const isLargerBetter = this.objectives.some((one) => one.index === index && one.isMaximized);
    const values = this.valuesOf(name) ?? [];
    const all = extentOf(values);
    const isRanked = this.objectives.length > 1;
    const near = isRanked
      ? rangeNearFront({ values, isLog: false, isLargerBetter }, this.rowClasses(), all)
      : undefined;
    if (near === undefined) return undefined;
    const isNear = (row: number) => (values[row] as number) >= near.min && (values[row] as number) <= near.max;
    return { isFar: isFarBeyond(near, all, false), isNear };
  }

  private rowClasses(): Uint8Array {
    return this.classes.upTo(this.rowCount, (i) => Float64Array.from(this.columns[i] ?? []));
  }

  /**
   * How the run got better, by evaluation: of one objective its best value so far, of several the hypervolume of what is feasible, as a
   * share of the box around the front. At about so many evaluations.
   */
  convergence(steps: number): { evaluations: number[]; values: number[] } {
    const points = [...this.feasiblePoints()];
    return this.objectives.length === 1 ? this.bestSoFar(points) : this.volumes(points, steps);
  }

  private bestSoFar(points: readonly [number, Float64Array][]): { evaluations: number[]; values: number[] } {
    const isMaximized = this.objectives[0]?.isMaximized === true;
    let best = Infinity;
    const [evaluations, values]: [number[], number[]] = [[], []];
    for (const [row, [value = NaN]] of points) {
      if (value < best) best = value;
      if (best === Infinity) continue;
      evaluations.push((this.numbers[row] as number) + 1);
      values.push(isMaximized ? -best : best);
    }
    return { evaluations, values };
  }

  private volumes(
    points: readonly [number, Float64Array][],
    steps: number,
  ): { evaluations: number[]; values: number[] } {
    const signed = this.objectives.map(({ index, isMaximized }) =>
      (this.columns[index] ?? []).map((value) => (isMaximized ? -value : value)),
    );
    const box = boxOf(signed, this.rowClasses());
    if (box === undefined) return { evaluations: [], values: [] };
    const volume = shareOf(box);
    const every = Math.max(Math.ceil(points.length / steps), 1);
    const [evaluations, values]: [number[], number[]] = [[], []];
    for (const [i, [row, point]] of points.entries()) {
      volume.add(point);
      if ((i + 1) % every !== 0 && i + 1 < points.length) continue;
      evaluations.push((this.numbers[row] as number) + 1);
      values.push(volume.value);
    }
    return { evaluations, values };
  }

  private *feasiblePoints(): Generator<[row: number, point: Float64Array], void> {
    const { objectives, feasibility } = this.goals;
    const numbersOf = (index: number) => ({ values: this.columns[index] ?? [] });
    const feasible = feasibility.of(this.rowCount, numbersOf);
    const numbers = objectives.map(({ index }) => numbersOf(index));
    for (const [row, is] of feasible.entries()) {
      if (is === 0) continue;
      const point = new Float64Array(objectives.length);
      readPoint(objectives, numbers, row, point);
      yield [row, point];
    }
  }
}
