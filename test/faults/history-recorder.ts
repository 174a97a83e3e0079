import { OptistoreError } from '../../clients/typescript/index.js';
import type { LoadedColumn } from '../../clients/typescript/index.js';
import { isCutOff } from './cut-off.js';
import {
  checkFollowers,
  checkKeyHistory,
  checkWatcher,
  type Answer,
  type Call,
  type Durable,
  type Followed,
  type Operation,
  type Told,
} from './history-checker.js';

/** An operation whose end and answer may come later. */
type Open = { -readonly [Name in keyof Operation]: Operation[Name] };

/** What is true of a key in one answer. */
export interface Seen {
  readonly key: string;
  readonly answer: Answer;
}

/** Writes down what clients ask, and what they are answered, with the times. */
export class Recorder {
  private readonly operations = new Map<string, Open[]>();
  /** Calls that broke off: what they asked for may still happen for as long as the daemon lives that they asked. */
  private readonly brokenOff = new Set<Open>();
  readonly followed: Followed[] = [];
  readonly durable: Durable[] = [];
  readonly told = new Map<string, Told[]>();

  /** Times are of one clock: that of this process. */
  now(): number {
    return performance.now();
  }

  /**
   * Makes a call on a key. Of one that breaks off it stays open whether it happened: its record is given, for whoever finds out.
   * Fails where the daemon gives a reason that such a call can't have.
   */
  async call(client: string, key: string, call: Call, act: () => Promise<Answer>): Promise<Open> {
    const operation: Open = { client, call, answer: { is: 'unknown' }, begin: this.now(), end: Infinity };
    if (call.do !== 'read' && call.do !== 'read revision') this.add(key, operation);
    try {
      operation.answer = await act();
    } catch (error) {
      const answer = answerOf(error);
      if (answer === undefined) {
        this.brokenOff.add(operation);
        return operation;
      }
      operation.answer = answer;
    }
    operation.end = this.now();
    if (call.do === 'read' || call.do === 'read revision') this.add(key, operation);
    return operation;
  }

  /** One answer that tells of several keys. */
  reads(client: string, begin: number, seen: readonly Seen[]): void {
    const end = this.now();
    for (const { key, answer } of seen) this.add(key, { client, call: { do: 'read' }, answer, begin, end });
  }

  /** Something is or was so by now. */
  hears(client: string, key: string, answer: Answer): void {
    const now = this.now();
    this.add(key, { client, call: { do: 'hear' }, answer, begin: now, end: now });
  }

  private add(key: string, operation: Open): void {
    const list = this.operations.get(key) ?? [];
    this.operations.set(key, list);
    list.push(operation);
  }

  /** It was found out that it did not happen, or that it says nothing new. */
  drop(key: string, operation: Operation): void {
    const list = this.operations.get(key) ?? [];
    list.splice(list.lastIndexOf(operation), 1);
  }

  /** The daemon is dead that some clients asked: of their calls that broke off none happens any more. Others may be on their way to the next. */
  settle(isOf: (client: string) => boolean): void {
    for (const operation of this.brokenOff) {
      if (!isOf(operation.client)) continue;
      if (operation.answer.is === 'unknown') operation.end = this.now();
      this.brokenOff.delete(operation);
    }
  }

  /** Fails with HistoryViolation unless all that was seen fits. Gives the number of calls. */
  check(newest: ReadonlyMap<string, number>): number {
    let count = this.followed.length;
    for (const [key, operations] of this.operations) {
      checkKeyHistory(key, operations);
      count += operations.length;
    }
    checkFollowers(this.followed, this.durable);
    for (const told of this.told.values()) {
      checkWatcher(told, newest);
      count += told.length;
    }
    return count;
  }
}

/** What a failure says of a key; undefined where it leaves open what happened. */
function answerOf(error: unknown): Answer | undefined {
  if (isCutOff(error)) return undefined;
  const reason = error instanceof OptistoreError ? error.reason : undefined;
  if (reason === 'RESULT_NOT_FOUND' || reason === 'REVISION_NOT_FOUND') return { is: 'absent' };
  if (reason === 'REVISION_MISMATCH') return { is: 'mismatch' };
  throw error;
}

/** Rows of one save, from a row of the result on. */
export function rowsOfSave(writer: number, firstRow: number, rowCount: number) {
  const writers = new Float64Array(rowCount).fill(writer);
  const rows = Float64Array.from({ length: rowCount }, (_, i) => firstRow + i);
  const columns = [writers, rows].map(({ buffer }) => ({
    values: { case: 'float64Values' as const, value: new Uint8Array(buffer) },
  }));
  return { firstRow: BigInt(firstRow), rowCount, columns };
}

/** Which saves wrote the rows that were loaded. Rows that are not in order are nobody's. */
export function writersOf(columns: Readonly<Record<string, LoadedColumn>>, firstRow = 0): string[] {
  const writers = columns['writer']?.values as Float64Array;
  const rows = columns['row']?.values as Float64Array;
  const names: string[] = [];
  for (const [i, writer] of writers.entries()) {
    if (rows[i] !== firstRow + i) return [`row ${rows[i]} in place of ${firstRow + i}`];
    if (names.at(-1) !== String(writer)) names.push(String(writer));
  }
  return names;
}
