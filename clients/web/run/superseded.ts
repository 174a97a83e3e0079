/** What becomes of a run while it is looked at. */
import { batch, signal, type ReadonlySignal, type Signal } from '@preact/signals';
import { ResultView, type Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { daemon } from '../connection/daemon.js';
import { explain } from '../connection/errors.js';
import { onEvent, type DaemonEvent } from '../connection/events.js';

/** What happened to a run's key since it was opened: its rows are those of an earlier revision, or of none. */
export type Superseded =
  { readonly case: 'replaced'; readonly revision: bigint } | { readonly case: 'deleted' } | undefined;

/** What happens to a key from now on. */
export class KeyEvents implements Disposable {
  private readonly told = signal<Superseded>(undefined);
  private readonly early: DaemonEvent[] = [];
  private result: Signal<Result> | undefined;
  private readonly stop: () => void;

  constructor(key: string) {
    this.stop = onEvent((event) => {
      if (event.case !== 'relist' && event.value.key !== key) return;
      if (this.result === undefined) this.early.push(event);
      else take(event, this.result, this.told);
    });
  }

  get superseded(): ReadonlySignal<Superseded> {
    return this.told;
  }

  /** Keeps what is known of it up to date. What happened while its rows came is known of then. */
  follow(result: Signal<Result>): void {
    this.result = result;
    batch(() => {
      for (const event of this.early) take(event, result, this.told);
    });
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

function take(event: DaemonEvent, result: Signal<Result>, superseded: Signal<Superseded>): void {
  if (event.case === 'relist') {
    void askAnew(result, superseded);
    return;
  }
  if (event.value.revision <= result.peek().revision) return;
  if (event.case === 'deleted') superseded.value = { case: 'deleted' };
  else if (event.case === 'committed') superseded.value = { case: 'replaced', revision: event.value.revision };
  else if (superseded.peek() === undefined) keep(result, event.value);
}

/** Something may have happened to it that was not told. */
async function askAnew(result: Signal<Result>, superseded: Signal<Superseded>): Promise<void> {
  try {
    const { result: newest } = await daemon.getResult({ key: result.peek().key, view: ResultView.FULL });
    if (newest === undefined || newest.revision <= result.peek().revision) return;
    if (hasSameRows(newest, result.peek())) keep(result, newest);
    else superseded.value = { case: 'replaced', revision: newest.revision };
  } catch (error) {
    // Whatever else failed: the connection tells of itself.
    if (explain(error).reason === 'RESULT_NOT_FOUND') superseded.value = { case: 'deleted' };
  }
}

/** Whether two revisions differ in what is known of them alone. */
export function hasSameRows(a: Result, b: Result): boolean {
  return (
    a.rowCount === b.rowCount &&
    a.columns.length === b.columns.length &&
    a.columns.every((column, i) => column.valuesCrc32 === b.columns[i]?.valuesCrc32)
  );
}

/** Takes what an answer says that has no summaries of columns. */
export function keep(result: Signal<Result>, told: Result): void {
  const { columns, placements } = result.peek();
  if (told.revision < result.peek().revision) return;
  result.value = told.columns.length > 0 ? told : { ...told, columns, placements };
}
