import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Upload, WatchResultsResponse } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { paint } from '../colours.js';
import { cellsOf, fit } from '../terminal/fit.js';

const BARS = '▁▂▃▄▅▆▇█';
const SAMPLES = 16;
const SAMPLE_MS = 1_000;
const EVENTS_MAX = 200;

interface Watched {
  readonly key: string;
  readonly beganMs: number;
  rows: number;
  hasStream: boolean;
  heardMs: number;
  sampledMs: number;
  sampledRows: number;
  readonly rates: number[];
}

/** What is known of saves in progress and of what happened, as `optistore watch` shows it. */
export class WatchedStore {
  private readonly uploads = new Map<string, Watched>();
  /** What was committed: it may still be in a list that was asked for before. */
  private readonly committed = new Set<string>();
  private readonly events: string[] = [];

  constructor(private readonly lineOf: (response: WatchResultsResponse) => string) {}

  /** Takes what was told at a time. */
  take(response: WatchResultsResponse, nowMs: number): void {
    const { event } = response;
    if (event.case === undefined) return;
    if (event.case === 'upload') return this.takeUpload(event.value, nowMs);
    if (event.case === 'committed') {
      this.uploads.delete(event.value.uploadId);
      this.committed.add(event.value.uploadId);
    }
    this.events.push(this.lineOf(response).replaceAll('\t', '  '));
    if (this.events.length > EVENTS_MAX) this.events.shift();
  }

  /** Takes all there are, asked for at a time: of those that were aborted or expired nothing else is told, nor of a solver that takes its time. */
  takeAll(uploads: readonly Upload[], askedMs: number, nowMs: number): void {
    for (const upload of uploads) if (!this.committed.has(upload.uploadId)) this.takeUpload(upload, nowMs);
    for (const [id, { heardMs }] of this.uploads) if (heardMs < askedMs) this.uploads.delete(id);
    this.committed.clear();
  }

  /** Takes an upload as it is. */
  private takeUpload({ uploadId, key, durableRowCount, createTime, hasStream }: Upload, nowMs: number): void {
    const rows = Number(durableRowCount);
    const known = this.uploads.get(uploadId);
    if (known === undefined) {
      const beganMs = createTime === undefined ? nowMs : timestampMs(createTime);
      const sampled = { heardMs: nowMs, sampledMs: nowMs, sampledRows: rows };
      this.uploads.set(uploadId, { key, beganMs, rows, hasStream, ...sampled, rates: [] });
      return;
    }
    Object.assign(known, { rows, hasStream, heardMs: nowMs });
  }

  /** The lines of a screen of so many columns and lines. */
  frame(nowMs: number, columns: number, lines: number): string[] {
    this.sample(nowMs);
    const uploads = [...this.uploads.values()];
    const room = Math.max(Math.min(uploads.length, Math.ceil(lines / 2)), 1);
    const table = uploads.slice(0, room).map((upload) => uploadLine(upload, nowMs, columns));
    if (uploads.length > room) table[room - 1] = fit(`… and ${uploads.length - room + 1} more`, columns);
    if (uploads.length === 0) table.push(fit('no saves in progress', columns));
    const latest = this.events.slice(Math.min(-(lines - table.length - 2), -1)).map((line) => fit(line, columns));
    const titled = [paint('bold', fit(HEAD(columns), columns)), ...table];
    return latest.length === 0 ? titled : [...titled, paint('bold', fit('latest', columns)), ...latest].slice(0, lines);
  }

  private sample(nowMs: number): void {
    for (const upload of this.uploads.values()) {
      const passedMs = nowMs - upload.sampledMs;
      if (passedMs < SAMPLE_MS) continue;
      upload.rates.push(((upload.rows - upload.sampledRows) * 1000) / passedMs);
      if (upload.rates.length > SAMPLES) upload.rates.shift();
      Object.assign(upload, { sampledMs: nowMs, sampledRows: upload.rows });
    }
  }
}

/** What stands behind the key: rows, rows a second, their course, age; on a narrow terminal without the course. */
const WIDTHS = { rows: 12, rate: 11, course: SAMPLES + 1, age: 7 };
const showsCourse = (columns: number) => columns >= 64;
const keyWidth = (columns: number) =>
  Math.max(columns - WIDTHS.rows - WIDTHS.rate - WIDTHS.age - (showsCourse(columns) ? WIDTHS.course : 0), 4);
const HEAD = (columns: number) =>
  fit('saving', keyWidth(columns)) +
  right('rows', WIDTHS.rows) +
  right('rows/s', WIDTHS.rate) +
  (showsCourse(columns) ? ' '.repeat(WIDTHS.course) : '') +
  right('age', WIDTHS.age);

function uploadLine({ key, rows, hasStream, rates, beganMs }: Watched, nowMs: number, columns: number): string {
  const course = showsCourse(columns) ? ` ${sparkline(rates).padEnd(SAMPLES)}` : '';
  return (
    fit(key, keyWidth(columns)) +
    right(rows.toLocaleString('en-US'), WIDTHS.rows) +
    right(hasStream ? rateText(rates.at(-1)) : 'no solver', WIDTHS.rate) +
    course +
    right(age(nowMs - beganMs), WIDTHS.age)
  );
}

function rateText(rate: number | undefined): string {
  return rate?.toLocaleString('en-US', { maximumFractionDigits: rate < 10 ? 1 : 0 }) ?? '-';
}

function right(text: string, width: number): string {
  return ' '.repeat(Math.max(width - cellsOf(text), 1)) + text;
}

/** The course of some numbers, a character each. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, Number.MIN_VALUE);
  return values.map((value) => BARS[Math.min(Math.floor((Math.max(value, 0) / most) * BARS.length), 7)]).join('');
}

function age(ms: number): string {
  const seconds = Math.max(Math.round(ms / 1000), 0);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
