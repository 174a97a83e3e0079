/** Computes what takes longer than a frame, beside the page. */
import { RowClasses } from '../../../server/rows/front/row-classes.js';
import { convergenceOf } from './convergence.js';
import { correlationOf } from './correlation.js';
import { histogramOf } from './distribution.js';
import { goalsOf, type Goals } from '../../../server/rows/front/goals.js';
import type { Answers, ColumnPart, Question, Request, Response } from './questions.js';

type AboutGoals = Extract<Question, { case: 'classes' | 'convergence' }>;

/** The columns of a run that were asked about so far. */
class KeptRun {
  private readonly columns = new Map<number, { values: Float64Array; length: number }>();
  private classes: RowClasses | undefined;
  private goals: Goals | undefined;

  take({ index, fromRow, values }: ColumnPart): void {
    const length = fromRow + values.length;
    const kept = this.columns.get(index);
    if (kept === undefined || fromRow === 0) this.columns.set(index, { values, length });
    else {
      if (length > kept.values.length) {
        const grown = new Float64Array(Math.max(length, kept.values.length * 2));
        grown.set(kept.values);
        kept.values = grown;
      }
      kept.values.set(values, fromRow);
      kept.length = length;
    }
  }

  answer(question: Question): Answers[keyof Answers] {
    const column = (index: number) => this.column(index);
    switch (question.case) {
      case 'classes':
        return this.classesOf(question).slice();
      case 'convergence': {
        const classes = this.classesOf(question);
        return convergenceOf({ ...question, goals: this.goalsOf(question), classes }, column);
      }
      case 'histograms':
        return question.columns.map((index) => histogramOf(column(index), question.mask));
      case 'correlation':
        return correlationOf(question.columns.map(column));
      default:
        return question satisfies never;
    }
  }

  private classesOf(question: AboutGoals): Uint8Array {
    this.classes ??= new RowClasses(this.goalsOf(question));
    return this.classes.upTo(question.rowCount, (index) => this.column(index));
  }

  private goalsOf({ variables }: AboutGoals): Goals {
    return (this.goals ??= goalsOf(variables));
  }

  private column(index: number): Float64Array {
    const kept = this.columns.get(index);
    if (kept === undefined) throw new Error(`Column ${index} was not sent.`);
    return kept.values.subarray(0, kept.length);
  }
}

const runs = new Map<number, KeptRun>();

addEventListener('message', ({ data }: MessageEvent<Request>) => {
  if (data.case === 'forget') {
    runs.delete(data.run);
    return;
  }
  const run = runs.get(data.run) ?? new KeptRun();
  runs.set(data.run, run);
  for (const part of data.parts) run.take(part);
  postMessage(answered(data.id, run, data.question));
});

function answered(id: number, run: KeptRun, question: Question): Response {
  try {
    return { id, answer: run.answer(question) };
  } catch (error) {
    return { id, failure: error instanceof Error ? error.message : String(error) };
  }
}
