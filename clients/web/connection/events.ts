/** What happens in the daemon, by one stream for the whole page, which comes back by itself. */
import { batch, effect, signal, type ReadonlySignal } from '@preact/signals';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { DeletedResult, WatchResultsResponse } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import type { OptistoreError } from '../../typescript/errors.js';
import { answered, daemon, tokenWanted } from './daemon.js';
import { explain } from './errors.js';
import { heard } from './heard.js';
import { isResting, restWhileHidden } from './resting.js';
import { forgetStatus, refreshStatus } from './status.js';
import { dropUploads, keepUpload, reconcileUploads, removeUpload } from './uploads.js';
import { pause, retryDelayMs, until } from './wait.js';

/** Something happened to a result. `relist`: more happened than can be told one by one; what is shown is to be asked for anew. */
export type DaemonEvent =
  | { readonly case: 'committed' | 'updated'; readonly value: Result }
  | { readonly case: 'deleted'; readonly value: DeletedResult }
  | { readonly case: 'relist' };

/** How the page stands with the daemon. */
export type Connection = 'connecting' | 'connected' | 'lost';

/** Why nothing comes from the daemon, and what is done about it. */
export interface Loss {
  readonly message: string;
  readonly sinceMs: number;
  /** When it is tried again; undefined while that goes on. */
  readonly nextTryMs: number | undefined;
}

const FIRST_WAIT_MS = 500;
const WAIT_MS_MAX = 15_000;
/** A daemon that works answers at once. */
const ANSWER_MS_MAX = 10_000;

const state = signal<Connection>('connecting');
const lost = signal<Loss | undefined>(undefined);
const listeners = new Set<(event: DaemonEvent) => void>();
let afterEvent: bigint | undefined;
let mustRelist = false;
let stopStream = new AbortController();
let stopWaiting = new AbortController();
let waitingSinceMs = 0;
let settle: () => void;
const settled = new Promise<void>((resolve) => (settle = resolve));

/** How the page stands with the daemon. */
export const connection: ReadonlySignal<Connection> = state;

/** Undefined unless the connection is lost. */
export const loss: ReadonlySignal<Loss | undefined> = lost;

/** Tells what happens from now on; gives the way to end that. */
export function onEvent(listener: (event: DaemonEvent) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Resolves once changes are told, or can't be for now: what is asked for behind it misses none. */
export function whenWatching(): Promise<void> {
  return settled;
}

/** Ends the wait for the next try. */
export function tryNow(): void {
  stopWaiting.abort();
}

/** Watches until the page is closed. */
export async function watchDaemon(): Promise<never> {
  restWhileHidden();
  effect(() => {
    if (isResting.value) stopStream.abort();
  });
  effect(() => {
    if (tokenWanted.value !== undefined) forgetAll();
  });
  addEventListener('online', tryNow);
  effect(() => {
    // By another call. A wait that has only begun goes on: what answers may not be what failed.
    if (answered.value > 0 && Date.now() - waitingSinceMs >= FIRST_WAIT_MS) tryNow();
  });
  let failures = 0;
  for (;;) {
    await until(() => tokenWanted.value === undefined && !isResting.value);
    try {
      await watchOnce(() => (failures = 0));
    } catch (error) {
      const told = explain(error);
      if (tokenWanted.peek() !== undefined || isResting.peek()) continue;
      if (told.reason === 'EVENTS_EXPIRED') {
        [afterEvent, mustRelist] = [undefined, true];
        continue;
      }
      await waitAfter(told, failures++);
    } finally {
      settle();
    }
  }
}

async function watchOnce(succeeded: () => void): Promise<void> {
  stopStream = new AbortController();
  const { signal } = stopStream;
  const request = { includeUploads: true, ...(afterEvent !== undefined && { afterEvent }) };
  let isFirst = true;
  const open = (ending: AbortSignal) => daemon.watchResults(request, { signal: ending });
  for await (const response of heard(open, signal, ANSWER_MS_MAX)) {
    if (isFirst) {
      succeeded();
      await arrive(signal);
      isFirst = false;
    }
    batch(() => take(response));
  }
  throw new Error('The daemon ended the stream of its events.');
}

/** The stream is there: asks for what it does not tell. */
async function arrive(ending: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([ending, AbortSignal.timeout(ANSWER_MS_MAX)]);
  await Promise.all([refreshStatus(signal), reconcileUploads(signal)]);
  const isNewToPage = mustRelist || (afterEvent === undefined && lost.peek() !== undefined);
  mustRelist = false;
  batch(() => {
    state.value = 'connected';
    lost.value = undefined;
  });
  settle();
  if (isNewToPage) tell({ case: 'relist' });
}

function take({ eventNumber, event }: WatchResultsResponse): void {
  afterEvent = eventNumber;
  switch (event.case) {
    case 'upload':
      return keepUpload(event.value);
    case 'committed':
      removeUpload(event.value.uploadId);
      return tell({ case: 'committed', value: event.value });
    case 'updated':
      return tell({ case: 'updated', value: event.value });
    case 'deleted':
      return tell({ case: 'deleted', value: event.value });
    case undefined:
      return;
    default:
      return event satisfies never;
  }
}

function tell(event: DaemonEvent): void {
  for (const listener of listeners) listener(event);
}

async function waitAfter({ message }: OptistoreError, failures: number): Promise<void> {
  const delayMs = retryDelayMs(failures, FIRST_WAIT_MS, WAIT_MS_MAX);
  const sinceMs = lost.peek()?.sinceMs ?? Date.now();
  batch(() => {
    state.value = 'lost';
    lost.value = { message, sinceMs, nextTryMs: Date.now() + delayMs };
  });
  settle();
  waitingSinceMs = Date.now();
  stopWaiting = new AbortController();
  await pause(delayMs, stopWaiting.signal);
  // Somebody may have logged out meanwhile.
  if (lost.peek() !== undefined) lost.value = { message, sinceMs, nextTryMs: undefined };
}

/** What one token may see is not for the next. */
function forgetAll(): void {
  stopStream.abort();
  stopWaiting.abort();
  afterEvent = undefined;
  batch(() => {
    dropUploads();
    forgetStatus();
    state.value = 'connecting';
    lost.value = undefined;
  });
}
