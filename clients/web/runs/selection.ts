import { signal, type ReadonlySignal } from '@preact/signals';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';

const chosen = signal<ReadonlyMap<string, Result>>(new Map());
let anchor: string | undefined;

/** The runs that are selected, by key, also those of other pages. */
export const selection: ReadonlySignal<ReadonlyMap<string, Result>> = chosen;

/** Selects a run or lets go of it; with `shown` all from the one that was clicked last up to it. */
export function toggle(result: Result, shown?: readonly Result[]): void {
  const changed = new Map(chosen.peek());
  const isOn = !changed.has(result.key);
  for (const each of shown === undefined ? [result] : upTo(result, shown)) {
    if (isOn) changed.set(each.key, each);
    else changed.delete(each.key);
  }
  anchor = result.key;
  chosen.value = changed;
}

function upTo(result: Result, shown: readonly Result[]): readonly Result[] {
  const from = shown.findIndex(({ key }) => key === anchor);
  const to = shown.indexOf(result);
  return from < 0 ? [result] : shown.slice(Math.min(from, to), Math.max(from, to) + 1);
}

/** Selects all of these, or lets go of them where all are selected. */
export function toggleAll(results: readonly Result[]): void {
  const changed = new Map(chosen.peek());
  const isOn = !results.every(({ key }) => changed.has(key));
  for (const result of results) {
    if (isOn) changed.set(result.key, result);
    else changed.delete(result.key);
  }
  chosen.value = changed;
}

/** Lets go of a run that is no longer there. */
export function forget(key: string): void {
  if (!chosen.peek().has(key)) return;
  const rest = new Map(chosen.peek());
  rest.delete(key);
  chosen.value = rest;
}

/** Lets go of all. */
export function clearSelection(): void {
  chosen.value = new Map();
}
