import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { OptistoreError } from '../../clients/typescript/index.js';
import { FailingWorld, type StoreName } from './io-world.js';
import type { Operation } from './io-operations.js';
import { Errno, type CallName, type FaultyDaemon } from './shim/faulty-daemon.js';

/** A call that fails, once. */
export interface Fault {
  readonly call: CallName;
  readonly error: keyof typeof Errno;
  /** 1: the first of its kind. */
  readonly nth: number;
}

/** How calls of each kind fail. */
const ERRORS: Readonly<Record<CallName, readonly (keyof typeof Errno)[]>> = {
  sync: ['EIO', 'ENOSPC'],
  write: ['EIO', 'ENOSPC', 'shortWrite'],
  open: ['EMFILE', 'EIO'],
  rename: ['EIO', 'ENOSPC'],
  link: ['EIO'],
  unlink: ['EIO'],
  mkdir: ['ENOSPC'],
  read: ['EIO'],
  truncate: ['EIO'],
};

const CALLS = Object.keys(ERRORS) as CallName[];

/** All ways in which calls of these kinds fail. */
export function* kindsOfFaults(): Generator<Omit<Fault, 'nth'>> {
  for (const call of CALLS) for (const error of ERRORS[call]) yield { call, error };
}

/** As many calls of each kind as something takes. */
async function countCalls(daemon: FaultyDaemon, act: () => Promise<void>): Promise<Map<CallName, number>> {
  const before = CALLS.map((call) => daemon.count(call));
  await act();
  return new Map(CALLS.map((call, i) => [call, daemon.count(call) - (before[i] ?? 0)]));
}

/** How often something is tried that has failed, and how long a store that fails may be left alone meanwhile. */
const TRIES = 8;
const PAUSE_MS = 400;
/** How often a daemon that has told a failure is killed, so that what comes later is built on what the failure has left. */
const KILL_RATE = 0.15;

/** How often a sync fails right before a daemon ends. */
const FAILED_SYNC_RATE = 0.3;

/** A world in which operations are tried with a call that fails. */
export class FaultyOperations implements AsyncDisposable {
  private tried = 0;

  private constructor(
    private readonly world: FailingWorld,
    private readonly roll: () => number,
    private readonly killRate: number,
  ) {}

  static async start(
    store: StoreName,
    hasSecondary: boolean,
    roll: () => number,
    killRate = KILL_RATE,
  ): Promise<FaultyOperations> {
    return new FaultyOperations(await FailingWorld.start(store, hasSecondary), roll, killRate);
  }

  /** Any so many faults that an operation can meet. */
  async sample(operation: Operation, count: number): Promise<Fault[]> {
    const key = await this.prepared(operation);
    const calls = await countCalls(this.world.daemon, () => operation.act(this.world, key));
    return this.anyOf(calls, count);
  }

  /** Any so many faults of calls. */
  anyOf(calls: ReadonlyMap<CallName, number>, count: number): Fault[] {
    const kinds = [...kindsOfFaults()].filter(({ call }) => (calls.get(call) ?? 0) > 0);
    return Array.from({ length: kinds.length === 0 ? 0 : count }, () => {
      const kind = kinds[Math.floor(this.roll() * kinds.length)] as Omit<Fault, 'nth'>;
      return { ...kind, nth: 1 + Math.floor(this.roll() * (calls.get(kind.call) ?? 1)) };
    });
  }

  private async prepared(operation: Operation): Promise<string> {
    const key = `${operation.name.replaceAll(' ', '-')}/${this.tried++}`;
    await operation.prepare?.(this.world, key);
    return key;
  }

  /**
   * Tries an operation with a fault, then without, until it ends well; false where there was no such call. What was answered
   * is there, in the daemon, and now and then after a power cut and a kill.
   */
  async try(operation: Operation, fault: Fault): Promise<boolean> {
    const { world, roll } = this;
    const { daemon } = world;
    const key = await this.prepared(operation);
    const from = daemon.logLength;
    const what = `${operation.name}, ${fault.call} ${fault.nth} fails with ${fault.error}`;
    const told: string[] = [];
    try {
      daemon.failNth(fault.call, fault.nth, Errno[fault.error]);
      const hasFailed = await this.untilDone(() => operation.act(world, key), fault, told);
      if (roll() < 0.5) await world.checkImage(from, roll);
      if (roll() < 0.2) await world.check();
      return hasFailed;
    } catch (error) {
      throw new Error(`${what}${told.map((message) => `\n  told: ${message}`).join('')}`, { cause: error });
    }
  }

  private async untilDone(act: () => Promise<void>, fault: Fault, told: string[]): Promise<boolean> {
    let hasFailed = false;
    for (let i = 0; ; i++) {
      try {
        await act();
        return this.world.daemon.disarm() || hasFailed;
      } catch (error) {
        hasFailed = this.world.daemon.disarm() || hasFailed;
        if (!(error instanceof OptistoreError)) throw error;
        told.push(`${error.reason} ${error.message}`);
        expectClear(error, fault);
        if (i >= TRIES) throw error;
        if (this.roll() < this.killRate) await this.world.restart();
        else if (i > 0) await sleep(PAUSE_MS);
      }
    }
  }

  /** What a daemon is to find when it starts. */
  async leave(operations: readonly Operation[]): Promise<void> {
    for (const operation of operations) await this.prepared(operation);
  }

  /** As many calls of each kind as a start takes. */
  countStart(): Promise<Map<CallName, number>> {
    return countCalls(this.world.daemon, () => this.world.restart());
  }

  /**
   * Ends the daemon and starts it again, with a fault while it does the one or the other; false where there was no such call.
   * Where it does not start it says why, and the next start does. `left`: what may have failed right before, and is left behind it.
   */
  async tryStart(fault: Fault, fails: 'the start' | 'the end', left: Operation): Promise<boolean> {
    const { world, roll } = this;
    const { daemon } = world;
    const from = daemon.logLength;
    try {
      if (roll() < FAILED_SYNC_RATE) await this.failSync(left);
      world.disconnect();
      if (fails === 'the start') await daemon.process.stop(roll() < 0.7 ? 'SIGKILL' : 'SIGTERM');
      daemon.failNth(fault.call, fault.nth, Errno[fault.error]);
      if (fails === 'the end') await daemon.process.stop('SIGTERM');
      const refusal = fails === 'the start' ? await daemon.start().catch((error: unknown) => error) : undefined;
      const hasFailed = daemon.disarm();
      if (refusal !== undefined) expectExplained(refusal, fault);
      if (roll() < 0.3) await world.checkImage(from, roll);
      if (fails === 'the end' || refusal !== undefined) await daemon.start();
      await world.check();
      if (roll() < 0.5) {
        await left.act(world, await this.prepared(left));
        await this.checkSynced();
      }
      return hasFailed;
    } catch (error) {
      throw new Error(`${fails}, ${fault.call} ${fault.nth} fails with ${fault.error}`, { cause: error });
    }
  }

  /** Lets the first sync of an operation fail, and does not try it again. */
  private async failSync(operation: Operation): Promise<void> {
    const { world } = this;
    const key = await this.prepared(operation);
    world.daemon.failNth('sync', 1, Errno.EIO);
    await operation.act(world, key).catch((error: unknown) => {
      if (!(error instanceof OptistoreError)) throw error;
    });
    world.daemon.disarm();
  }

  /** Fails unless a disk that has kept nothing but what was synced has all that was answered. */
  checkSynced(): Promise<void> {
    return this.world.checkImage(this.world.daemon.logLength - 1, () => 0);
  }

  /** Looks whether the daemon has all that was answered. */
  check(): Promise<void> {
    return this.world.check();
  }

  /** Kills the daemon, and looks whether all is there. */
  async restart(): Promise<void> {
    await this.world.restart();
    await this.world.check();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.world[Symbol.asyncDispose]();
  }
}

/** SQLite itself takes what a disk can't read for damage: the next start looks at all of the file. */
const TAKEN_FOR_DAMAGE = /SQLITE_CORRUPT/;

/** Fails unless a daemon that did not start has said what the disk said. */
function expectExplained(refusal: unknown, { call, error }: Fault): void {
  const said = refusal instanceof Error ? refusal.message : String(refusal);
  expect(said).not.toMatch(/\n +at |INTERNAL/);
  if (call === 'read' && TAKEN_FOR_DAMAGE.test(said)) return;
  expect(said).not.toMatch(/RESULT_CORRUPT/);
  // SQLite has words of its own for what a sync says.
  const words: Partial<Record<Fault['error'], RegExp>> = {
    EIO: /EIO|Input\/output error|disk I\/O error/,
    EMFILE: /EMFILE|Too many open files/,
    ENOSPC: /ENOSPC|No space left|full|disk I\/O error/,
  };
  expect(said).toMatch(words[error] ?? /./);
}

/** Fails unless an error says what the disk said, and what to do. */
function expectClear({ reason, message }: OptistoreError, { call, error }: Fault): void {
  if (call === 'read' && reason === 'RESULT_CORRUPT' && TAKEN_FOR_DAMAGE.test(message)) return;
  expect(['BACKEND_UNAVAILABLE', 'DISK_FULL'], message).toContain(reason);
  if (error === 'EMFILE' || error === 'EIO') expect(reason, message).toBe('BACKEND_UNAVAILABLE');
  expect(message).toMatch(/\.$/);
}
