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
  const made = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  made.addEventListener('message', ({ data }: MessageEvent<Response>) => {
    const asked = waiting.get(data.id);
    waiting.delete(data.id);
    if ('failure' in data) asked?.reject(new Error(data.failure));
    else asked?.resolve(data.answer);
  });
  made.addEventListener('error', (event) => {
    event.preventDefault();
    // Whose script did not come is told of without a message.
    const why = event instanceof ErrorEvent ? event.message : 'its script could not be loaded';
    for (const { reject } of waiting.values()) reject(new Error(`The analysis failed: ${why}. Reload the page.`));
    waiting.clear();
    // Who asks again starts another one.
    made.terminate();
    worker = undefined;
  });
  worker = made;
  return made;
}

/** What the worker is asked of one run. Each column is sent once, when it is first needed; of one that grows what is new. */
export class RunAnalysis implements Disposable {
  private readonly run = ++lastRun;
  private readonly sent = new Map<number, number>();
  private sentTo: Worker | undefined;

  /** Asks about columns, by their indices, as they are now. */
  ask<Asked extends Question>(
    question: Asked,
    columns: ReadonlyMap<number, Float64Array>,
  ): Promise<Answers[Asked['case']]> {
    const asked = started();
    // One that was started since knows nothing yet.
    if (asked !== this.sentTo) this.sent.clear();
    this.sentTo = asked;
    const parts = [...columns].flatMap(([index, values]) => this.partOf(index, values) ?? []);
    const id = ++lastQuestion;
    const transferred = parts.map(({ values }) => values.buffer as ArrayBuffer);
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      asked.postMessage({ case: 'ask', id, run: this.run, parts, question } satisfies Request, transferred);
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
