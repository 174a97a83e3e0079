import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import { Channel } from '../../clients/typescript/channel.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { openBackend } from '../../server/backends/open-backend.js';
import { asText } from '../backends/runs.js';
import { rawLoad } from '../rpc/raw-load.js';
import { SaveSession } from './save-session.js';
import { checkAnswers, questioned, type Answer, type Questioned } from './shim/answers.js';
import { FaultyDaemon, STORES_IN_FILES } from './shim/faulty-daemon.js';
import { parseCalls, RecordedDisk, type Call } from './shim/recorded-disk.js';

/** A kind of store. */
export type StoreName = keyof typeof STORES_IN_FILES;

/** What a key was given. */
export interface Given {
  readonly key: string;
  readonly factor: number;
  rows: number;
  revision: number;
}

/** A daemon whose calls on files are made to fail, and what it has answered. */
export class FailingWorld implements AsyncDisposable {
  private answers: Answer[] = [];
  private readonly given = new Map<string, Given>();
  private clients: { client: OptistoreClient; channel: Channel } | undefined;

  private constructor(
    private readonly store: StoreName,
    private readonly hasSecondary: boolean,
    readonly daemon: FaultyDaemon,
    private readonly scratch: string,
  ) {}

  /** One store, or two of the same kind, of which each copies to the other what a call says. */
  static async start(store: StoreName, hasSecondary: boolean): Promise<FailingWorld> {
    const daemon = await FaultyDaemon.start((folder) => ({
      primary: STORES_IN_FILES[store](join(folder, 'first')),
      ...(hasSecondary && { secondary: STORES_IN_FILES[store](join(folder, 'second')) }),
      use_cache: false,
    }));
    return new FailingWorld(store, hasSecondary, daemon, await mkdtemp(join(tmpdir(), 'optistore-image-')));
  }

  private get open(): { client: OptistoreClient; channel: Channel } {
    const { address } = this.daemon;
    this.clients ??= { client: createClient({ address }), channel: new Channel(address) };
    return this.clients;
  }

  get client(): OptistoreClient {
    return this.open.client;
  }

  get channel(): Channel {
    return this.open.channel;
  }

  /** A key, with rows of its own. */
  key(key: string): Given {
    const given = this.given.get(key) ?? { key, factor: this.given.size + 1, rows: 0, revision: 0 };
    this.given.set(key, given);
    return given;
  }

  /** Notes what was answered. */
  tell(answer: Omit<Answer, 'logLength'>): void {
    this.answers.push({ ...answer, logLength: this.daemon.logLength });
  }

  /** Notes what is asked for: it may happen, whatever is answered. */
  ask(answer: Omit<Answer, 'logLength'>): void {
    this.answers.push({ ...answer, logLength: Infinity });
  }

  /** Forgets an upload that someone aborts. */
  forget(uploadId: string): void {
    this.answers = this.answers.filter((answer) => answer.uploadId !== uploadId);
  }

  /** How many rows of an upload were acked. */
  ackedOf(uploadId: string): number {
    const acks = this.answers.filter((answer) => answer.uploadId === uploadId && answer.logLength < Infinity);
    return Math.max(0, ...acks.map(({ acked }) => acked));
  }

  /** Fails unless the daemon serves all that it has answered. */
  async check(): Promise<void> {
    await checkAnswers(this.served(), this.answers);
  }

  private served(): Questioned {
    return {
      newest: async (key) => {
        try {
          const load = await rawLoad(this.channel, { key });
          return { revision: Number(load.header?.result?.revision), rows: asText(load.rows()) };
        } catch (error) {
          if (!(error instanceof OptistoreError) || error.reason !== 'RESULT_NOT_FOUND') throw error;
          return { revision: undefined, rows: undefined };
        }
      },
      goOn: async (key, uploadId) => {
        const session = new SaveSession(this.daemon.address, { key, uploadId }, () => undefined);
        try {
          const { nextRow, committed } = await session.isOpened();
          return committed === undefined ? Number(nextRow) : 'committed';
        } finally {
          session.cancel();
        }
      },
    };
  }

  /** Fails unless the disk, after a power cut between two places of the log, has all that was answered before. */
  async checkImage(from: number, roll: () => number): Promise<void> {
    const ends = (await this.calls()).map(({ end }) => end);
    const places = [...this.answers.map(({ logLength }) => logLength), ...ends];
    const late = places.filter((place) => place > from && place < Infinity);
    await this.checkCut(late[Math.floor(roll() * late.length)] ?? this.daemon.logLength, roll);
  }

  /** The calls that the daemon has made so far. */
  async calls(): Promise<Call[]> {
    return parseCalls(await readFile(this.daemon.log));
  }

  /** Fails unless the disk, after a power cut at a place of the log, has all that was answered before. */
  checkCut(cut: number, roll: () => number): Promise<void> {
    return this.afterCut(cut, roll, (first, second) => checkAnswers(questioned(first, second), this.answers, cut));
  }

  /** Opens the stores as the disk has them after a power cut at a place of the log. */
  async afterCut(
    cut: number,
    roll: () => number,
    look: (first: StorageBackend, second: StorageBackend | undefined) => Promise<void>,
  ): Promise<void> {
    const recorded = new RecordedDisk(this.daemon.disk);
    for (const call of await this.calls()) if (call.end <= cut) recorded.play(call);
    const target = join(this.scratch, 'disk');
    recorded.cutPower(target, roll);
    try {
      const open = (name: string) => openBackend(STORES_IN_FILES[this.store](join(target, name)), {});
      await using first = await open('first');
      await using second = this.hasSecondary ? await open('second') : undefined;
      await look(first, second);
    } catch (error) {
      throw new Error(`after a power cut at ${cut}`, { cause: error });
    } finally {
      await rm(target, { recursive: true, force: true });
    }
  }

  /** Lets go of the daemon's connections, as it ends. */
  disconnect(): void {
    this.clients?.client.close();
    this.clients?.channel.close();
    this.clients = undefined;
  }

  /** Kills the daemon. */
  async kill(): Promise<void> {
    this.disconnect();
    await this.daemon.process.stop('SIGKILL');
  }

  /** Kills the daemon and starts it again. */
  async restart(): Promise<void> {
    this.disconnect();
    await this.daemon.restart();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnect();
    await this.daemon[Symbol.asyncDispose]();
    await rm(this.scratch, { recursive: true, force: true });
  }
}
