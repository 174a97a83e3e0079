/** The page's side of the worker: one for all runs, started with the first question. */
import type { Answers, ColumnPart, Question, Request, Response } from './questions.js';

interface Waiting {
  readonly resolve: (answer: Answers[keyof Answers]) => void;
  readonly reject: (error: Error) => void;
}

const waiting = new Map<number, Waiting>();
let worker: Worker | undefined;
let lastQuestion = 0;
let lastRun = 0;

function started(): Worker {
  if (worker !== undefined) return worker;
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.addEventListener('message', ({ data }: MessageEvent<Response>) => {
    const asked = waiting.get(data.id);
    waiting.delete(data.id);
    if ('failure' in data) asked?.reject(new Error(data.failure));
    else asked?.resolve(data.answer);
  });
  worker.addEventListener('error', ({ message }) => {
    // It is gone with all that it knew: who asks again starts another one, but each run is then sent anew by who opens it again.
    for (const { reject } of waiting.values()) reject(new Error(`The analysis failed: ${message}. Reload the page.`));
    waiting.clear();
  });
  return worker;
}

/** What the worker is asked of one run. Each column is sent once, when it is first needed; of one that grows what is new. */
export class RunAnalysis implements Disposable {
  private readonly run = ++lastRun;
  private readonly sent = new Map<number, number>();

  /** Asks about columns, by their indices, as they are now. */
  ask<Asked extends Question>(
    question: Asked,
    columns: ReadonlyMap<number, Float64Array>,
  ): Promise<Answers[Asked['case']]> {
    const parts = [...columns].flatMap(([index, values]) => this.partOf(index, values) ?? []);
    const id = ++lastQuestion;
    const transferred = parts.map(({ values }) => values.buffer as ArrayBuffer);
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      started().postMessage({ case: 'ask', id, run: this.run, parts, question } satisfies Request, transferred);
    });
  }

  private partOf(index: number, values: Float64Array): ColumnPart | undefined {
    const fromRow = this.sent.get(index) ?? 0;
    if (this.sent.has(index) && fromRow >= values.length) return undefined;
    this.sent.set(index, values.length);
    return { index, fromRow, values: values.slice(fromRow) };
  }

  /** The worker lets go of its rows. */
  [Symbol.dispose](): void {
    worker?.postMessage({ case: 'forget', run: this.run } satisfies Request);
  }
}
