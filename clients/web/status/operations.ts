import { signal, type ReadonlySignal } from '@preact/signals';
import { explain, isAborted } from '../connection/errors.js';
import { toast } from '../parts/toast.js';

/** How an operation stands. */
export type OperationState = 'running' | 'done' | 'failed' | 'cancelled';

/** How far an operation is. */
export interface OperationProgress {
  /** What is being looked at, such as a key. */
  readonly at: string;
  readonly done: number;
  /** 0: not known. */
  readonly total: number;
  /** What came out so far, by name. */
  readonly counts: Readonly<Record<string, number | string>>;
}

/** Something that an operation found, or could not do. */
export interface Finding {
  readonly key: string;
  readonly what: string;
  readonly tone: 'ok' | 'warn' | 'error';
  readonly message: string;
}

/** A long call that tells how far it is. It goes on while the page shows something else. */
export interface Operation {
  readonly id: number;
  readonly title: string;
  readonly state: ReadonlySignal<OperationState>;
  readonly progress: ReadonlySignal<OperationProgress>;
  readonly findings: ReadonlySignal<readonly Finding[]>;
  /** How many were found; not all of them are kept. */
  readonly findingCount: ReadonlySignal<number>;
  /** Why it failed, or what is to be known of its end. */
  readonly word: ReadonlySignal<string | undefined>;
  readonly cancel: () => void;
}

/** What a message of the call says. */
export interface Told {
  readonly progress: OperationProgress;
  readonly finding?: Finding | undefined;
  readonly word?: string | undefined;
}

const FINDINGS_MAX = 500;
/** What is shown changes as often as people see. */
const SHOWN_EACH_MS = 100;

const all = signal<readonly Operation[]>([]);
let lastId = 0;

/** Operations that run, and those that have ended and were not dismissed. */
export const operations: ReadonlySignal<readonly Operation[]> = all;

/** Takes an operation that has ended off the page. */
export function dismiss(operation: Operation): void {
  all.value = all.peek().filter(({ id }) => id !== operation.id);
}

/** Begins a call, and shows how far it is from its messages. */
export function begin<Message>(
  title: string,
  call: (signal: AbortSignal) => AsyncIterable<Message>,
  read: (message: Message) => Told,
): void {
  const stopping = new AbortController();
  const state = signal<OperationState>('running');
  const progress = signal<OperationProgress>({ at: '', done: 0, total: 0, counts: {} });
  const findings = signal<readonly Finding[]>([]);
  const findingCount = signal(0);
  const word = signal<string | undefined>(undefined);
  const cancel = () => stopping.abort();
  all.value = [{ id: ++lastId, title, state, progress, findings, findingCount, word, cancel }, ...all.peek()];
  const run = async () => {
    const found: Finding[] = [];
    let shownMs = 0;
    let told: Told | undefined;
    const show = () => {
      if (told !== undefined) progress.value = told.progress;
      word.value = told?.word;
      if (found.length !== findingCount.peek()) findings.value = found.slice(0, FINDINGS_MAX);
      findingCount.value = found.length;
      shownMs = Date.now();
    };
    try {
      for await (const message of call(stopping.signal)) {
        told = read(message);
        if (told.finding !== undefined) found.push(told.finding);
        if (Date.now() - shownMs >= SHOWN_EACH_MS) show();
      }
      show();
      state.value = 'done';
      toast(`Done: ${title}.`);
    } catch (error) {
      show();
      end(error);
    }
  };
  const end = (error: unknown) => {
    if (isAborted(error)) {
      state.value = 'cancelled';
      return;
    }
    word.value = explain(error).message;
    state.value = 'failed';
    toast(`Failed: ${title}. ${explain(error).message}`, { isError: true });
  };
  void run();
}
