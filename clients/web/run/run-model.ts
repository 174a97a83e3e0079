import { batch, signal, type ReadonlySignal } from '@preact/signals';
import { VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { RunAnalysis } from '../analysis/analysis.js';
import { classCounts, RowClass } from '../../../server/rows/front/row-classes.js';
import type { HypervolumeBox } from '../../../server/rows/front/hypervolume-box.js';
import type { Convergence } from '../analysis/convergence.js';
import { goalsOf, type Goals } from '../../../server/rows/front/goals.js';
import type { Answers, Question } from '../analysis/questions.js';
import type { PlotRows } from '../plots/plot-rows.js';
import { Selection } from '../plots/selection.js';
import { generationOf, PlotColumns, type PlotColumn } from '../rows/plot-columns.js';
import type { RunRows } from '../rows/run-rows.js';

/** The rows of a run, what is known of them, and which are selected: one for all of its views. */
export class RunModel implements Disposable {
  readonly selection = new Selection();
  readonly goals: Goals;
  private analysis = new RunAnalysis();
  private readonly columns = new PlotColumns();
  private readonly current;
  private readonly shown;

  constructor(rows: RunRows) {
    this.goals = goalsOf(rows.variables);
    this.current = signal(rows);
    this.shown = signal(this.plotRows(rows, new Uint8Array(0)));
  }

  /** A model whose rows have their classes. */
  static async of(rows: RunRows): Promise<RunModel> {
    const model = new RunModel(rows);
    await model.classify();
    return model;
  }

  get rows(): ReadonlySignal<RunRows> {
    return this.current;
  }

  /** The same as the plots take them. */
  get plotted(): ReadonlySignal<PlotRows> {
    return this.shown;
  }

  /** Rows were appended. Their classes follow with `classify`. */
  grow(rows: RunRows): void {
    batch(() => {
      this.selection.grow(rows.rowCount);
      this.current.value = rows;
      this.shown.value = this.plotRows(rows, this.shown.peek().classes);
    });
  }

  /** Other rows than before, such as some of them, with their classes as far as they are known, and those of them that are selected. */
  replace(rows: RunRows, classes: Uint8Array, mask: Uint8Array | undefined): void {
    this.analysis[Symbol.dispose]();
    this.analysis = new RunAnalysis();
    this.columns.forget();
    batch(() => {
      if (mask === undefined) this.selection.clear();
      else this.selection.change(mask);
      this.current.value = rows;
      this.shown.value = this.plotRows(rows, classes);
    });
  }

  /** Finds the class of each row that has none yet. */
  async classify(): Promise<void> {
    const { rowCount, variables } = this.current.peek();
    const asked = this.analysis;
    const classes = await this.ask({ case: 'classes', variables, rowCount }, this.goals.columns);
    // Of rows that were replaced meanwhile it says nothing.
    if (asked === this.analysis) this.shown.value = this.plotRows(this.current.peek(), classes);
  }

  /** Asks the worker about columns of the rows as they are now. */
  ask<Asked extends Question>(question: Asked, indices: readonly number[]): Promise<Answers[Asked['case']]> {
    const { columns } = this.shown.peek();
    const sent = columns.filter(({ index }) => indices.includes(index));
    return this.analysis.ask(question, new Map(sent.map(({ index, values }) => [index, values])));
  }

  /** How it went, by evaluation or, where it has a column of them, by generation; with the hypervolume within a box, or within its own. */
  convergence(by: {
    readonly isByGeneration: boolean;
    readonly box?: HypervolumeBox | undefined;
  }): Promise<Convergence> {
    const { rowCount, rowNumbers, variables } = this.current.peek();
    const generation = by.isByGeneration ? this.generation?.index : undefined;
    const columns = generation === undefined ? this.goals.columns : [...this.goals.columns, generation];
    const question = { rowCount, variables, generation, rowNumbers: rowNumbers?.slice(), box: by.box };
    return this.ask({ case: 'convergence', ...question }, columns);
  }

  get generation(): PlotColumn | undefined {
    return generationOf(this.shown.peek().columns);
  }

  private plotRows(rows: RunRows, known: Uint8Array): PlotRows {
    const { rowCount } = rows;
    const classes = new Uint8Array(rowCount).fill(RowClass.FEASIBLE);
    if (this.goals.objectives.length > 0) classes.fill(RowClass.DOMINATED, known.length);
    classes.set(known.subarray(0, rowCount));
    return { rowCount, columns: this.columns.of(rows), classes, counts: classCounts(classes) };
  }

  [Symbol.dispose](): void {
    this.analysis[Symbol.dispose]();
  }
}

/** The objectives of a problem, in its order. */
export function objectivesOf(columns: readonly PlotColumn[]): PlotColumn[] {
  return columns.filter(({ role }) => role === VariableRole.OBJECTIVE);
}

/** What a role is called. */
export function roleName({ role }: Pick<Variable, 'role'>): string {
  switch (role) {
    case VariableRole.DESIGN_VARIABLE:
      return 'design variable';
    case VariableRole.OBJECTIVE:
      return 'objective';
    case VariableRole.INEQUALITY_CONSTRAINT:
      return 'inequality constraint';
    case VariableRole.EQUALITY_CONSTRAINT:
      return 'equality constraint';
    case VariableRole.OBSERVABLE:
      return 'observable';
    case VariableRole.UNSPECIFIED:
      return 'not said';
    default:
      return role satisfies never;
  }
}
