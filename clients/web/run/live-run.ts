import { batch, signal } from '@preact/signals';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { LoadHeader, Upload } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { RunAnalysis } from '../analysis/analysis.js';
import { goalsOf } from '../../../server/rows/front/goals.js';
import { explain } from '../connection/errors.js';
import { uploads } from '../connection/uploads.js';
import { followUpload, type Followed } from '../rows/follow.js';
import { ROWS_MAX, RowsBuilder, type RunRows } from '../rows/run-rows.js';
import { Asking } from './asking.js';
import { RunModel } from './run-model.js';
import { thinned } from './thinning.js';

/** How it stands with a save that is followed. */
export type LivePhase =
  | { readonly case: 'connecting' }
  | { readonly case: 'following' }
  /** The daemon is away; it is tried again. */
  | { readonly case: 'lost'; readonly message: string }
  | { readonly case: 'committed'; readonly result: Result }
  | { readonly case: 'failed'; readonly message: string; readonly reason: string | undefined };

/** Plots of many rows are drawn anew less often. */
const FRAME_MS = 33;
const MANY_ROWS = 20_000;
const MANY_ROWS_FRAME_MS = 120;
/** Over so much time the rows of a second are counted. */
const RATE_MS = 2000;
const RATES_KEPT = 60;

/** A save that is followed: its rows as they come, in the page's memory and at most as many as it keeps. */
export class LiveRun implements Disposable {
  readonly phase = signal<LivePhase>({ case: 'connecting' });
  readonly header = signal<LoadHeader | undefined>(undefined);
  /** Known once the header is there. */
  readonly model = signal<RunModel | undefined>(undefined);
  /** Rows that came, shown or not. */
  readonly received = signal(0);
  /** Rows a second, about every half second, the newest last; none until that was measured. */
  readonly rates = signal<readonly number[]>([]);
  readonly isPaused = signal(false);
  private readonly uploadsBefore = new Set(uploads.peek().keys());
  private readonly leaving = new AbortController();
  private builder: RowsBuilder | undefined;
  private classifying: Asking<void> | undefined;
  private thinning: Promise<void> | undefined;
  /** Which of the rows that are shown stayed, until that is shown. */
  private kept: { readonly rows: Uint32Array; readonly classes: Uint8Array } | undefined;
  private shownAtMs = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly counts: { readonly atMs: number; readonly count: number }[] = [];
  private readonly counting: ReturnType<typeof setInterval>;

  constructor(private readonly key: string) {
    this.counting = setInterval(() => this.countRate(), RATE_MS / 4);
    void this.follow();
  }

  /** Whether there is a save of its key among these that was not yet there when it was looked for. */
  hasBegun(open: ReadonlyMap<string, Upload>): boolean {
    return [...open.values()].some(({ key, uploadId }) => key === this.key && !this.uploadsBefore.has(uploadId));
  }

  /** Plots stand still while rows go on to come. */
  pause(): void {
    this.isPaused.value = true;
  }

  /** Shows all that came meanwhile. */
  resume(): void {
    this.isPaused.value = false;
    this.schedule();
  }

  private async follow(): Promise<void> {
    try {
      for await (const followed of followUpload(this.key, this.leaving.signal)) await this.take(followed);
    } catch (error) {
      const { message, reason } = explain(error);
      if (!this.leaving.signal.aborted) this.phase.value = { case: 'failed', message, reason };
    }
  }

  private async take(followed: Followed): Promise<void> {
    switch (followed.case) {
      case 'header':
        this.begin(followed.header);
        return;
      case 'batch': {
        this.builder?.append(followed.batch);
        this.received.value = this.builder?.totalRowCount ?? 0;
        this.schedule();
        // Where rows come faster than they can be thinned, the daemon waits.
        if ((this.builder?.rowCount ?? 0) > 2 * ROWS_MAX) await this.thinning;
        if ((this.builder?.rowCount ?? 0) > ROWS_MAX) this.thinning ??= this.thinOnce();
        return;
      }
      case 'lost':
        this.phase.value = { case: 'lost', message: followed.message };
        return;
      case 'committed':
        this.phase.value = followed;
        return;
      default:
        followed satisfies never;
    }
  }

  private begin(header: LoadHeader): void {
    this.phase.value = { case: 'following' };
    if (this.builder !== undefined) return;
    this.builder = new RowsBuilder(header.variables, 0);
    const model = new RunModel(this.builder.rows());
    this.classifying = new Asking(
      () => model.classify(),
      () => undefined,
    );
    batch(() => {
      this.header.value = header;
      this.model.value = model;
    });
  }

  private schedule(): void {
    if (this.timer !== undefined || this.isPaused.peek()) return;
    const gapMs = (this.builder?.rowCount ?? 0) > MANY_ROWS ? MANY_ROWS_FRAME_MS : FRAME_MS;
    const waitMs = Math.max(0, this.shownAtMs + gapMs - performance.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (!this.isPaused.peek()) this.show();
    }, waitMs);
  }

  private show(): void {
    const { builder, kept } = this;
    const model = this.model.peek();
    if (builder === undefined || model === undefined) return;
    const rows = builder.rows();
    this.kept = undefined;
    if (kept === undefined) model.grow(rows);
    else model.replace(rows, kept.classes, keptMask(model.selection.mask.peek(), kept.rows, rows.rowCount));
    this.classifying?.trigger();
    this.shownAtMs = performance.now();
  }

  private thinOnce(): Promise<void> {
    const thinning = this.thin().finally(() => (this.thinning = undefined));
    // One that failed is tried again with the next batch; when there is no more room, what failed is told.
    thinning.catch(() => undefined);
    return thinning;
  }

  private async thin(): Promise<void> {
    const { builder } = this;
    if (builder === undefined) return;
    const rows = builder.rows();
    const classes = await classesOf(rows);
    if (this.leaving.signal.aborted) return;
    const stay = thinned(goalsOf(rows.variables), columnOf(rows), classes, builder.rowCount, ROWS_MAX / 2);
    builder.keep(stay);
    const stayed = stay.filter((row) => row < classes.length);
    // What is shown may be of before an earlier thinning, which was not seen as it was paused.
    const before = this.kept?.rows;
    this.kept = {
      rows: before === undefined ? stay : stay.map((row) => before[row] ?? 0xffffffff),
      classes: Uint8Array.from(stayed, (row) => classes[row] as number),
    };
    this.schedule();
  }

  private countRate(): void {
    // What had come before it was followed comes at once, and is no rate.
    if (this.phase.peek().case === 'connecting') return;
    const now = { atMs: performance.now(), count: this.received.peek() };
    this.counts.push(now);
    // The last one that is old enough is what is compared with.
    while ((this.counts[1]?.atMs ?? now.atMs) <= now.atMs - RATE_MS) this.counts.shift();
    const first = this.counts[0] ?? now;
    if (first.atMs > now.atMs - RATE_MS) return;
    const seconds = (now.atMs - first.atMs) / 1000;
    this.rates.value = [...this.rates.peek(), (now.count - first.count) / seconds].slice(-RATES_KEPT);
  }

  [Symbol.dispose](): void {
    this.leaving.abort();
    clearInterval(this.counting);
    clearTimeout(this.timer);
    this.classifying?.stop();
    this.model.peek()?.[Symbol.dispose]();
  }
}

/** By a worker's memory of their own: what is shown may stand still. */
async function classesOf(rows: RunRows): Promise<Uint8Array> {
  using analysis = new RunAnalysis();
  const { variables, rowCount } = rows;
  const columns = new Map(goalsOf(variables).columns.map((index) => [index, columnOf(rows)(index)]));
  return await analysis.ask({ case: 'classes', variables, rowCount }, columns);
}

function columnOf({ columns }: RunRows): (index: number) => Float64Array {
  return (index) => {
    const column = columns[index];
    return column?.kind === 'number' ? column.values : new Float64Array(0);
  };
}

function keptMask(mask: Uint8Array | undefined, rows: Uint32Array, rowCount: number): Uint8Array | undefined {
  if (mask === undefined) return undefined;
  const next = new Uint8Array(rowCount);
  rows.forEach((row, i) => (next[i] = mask[row] ?? 0));
  return next;
}
