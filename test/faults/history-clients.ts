import { create } from '@bufbuild/protobuf';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type OptistoreClient, type Result, type StoreRole } from '../../clients/typescript/index.js';
import { ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { isCutOff } from './cut-off.js';
import type { Answer, Content } from './history-checker.js';
import { rowsOfSave, writersOf, type Recorder } from './history-recorder.js';
import { SaveSession } from './save-session.js';

export const PROBLEM = create(ProblemSchema, {
  name: 'history',
  variables: ['writer', 'row'].map((name) => ({
    ...{ name, role: VariableRole.OBSERVABLE, valueType: ValueType.FLOAT64 },
  })),
});
/** Rows of a save: a row, a few, more than the index holds, more than a block. */
const SAVE_ROWS = [1, 30, 30, 3000, 20_000];
const PAUSE_MS = 3;

/** Where clients work, and until when. */
export interface Scene {
  readonly recorder: Recorder;
  readonly keys: readonly string[];
  /** All keys begin with it. */
  readonly prefix: string;
  readonly address: string;
  /** A store that may lag behind, and is read too. */
  readonly lagging: StoreRole | undefined;
  readonly hasEnded: () => boolean;
  /** Resolves when the daemon serves. */
  readonly serves: () => Promise<void>;
}

let writerCount = 0;

/** Names the next save: no two have the same. */
export function nextWriter(): number {
  return writerCount++;
}

/** What an answer says of a result; of its rows, where they were loaded. */
export function foundIn(result: Result, writers?: readonly string[]): Answer {
  const content = { rowCount: Number(result.rowCount), tag: result.tags['tag'] ?? '', ...(writers && { writers }) };
  return { is: 'found', revision: Number(result.revision), content };
}

const doneWith = (revision: bigint | undefined): Answer => ({ is: 'done', revision: Number(revision) });

/** Saves, appends, changes, deletes and reads, one call after the other, on keys that others change too. */
export class HistoryClient {
  private client: OptistoreClient;
  private connectedTo: Promise<void> | undefined;
  /** Revisions that this client has seen, to expect or to read again. */
  private readonly seen = new Map<string, number>();

  constructor(
    private readonly name: string,
    private readonly scene: Scene,
    private readonly roll: () => number,
    /** How often it changes something, from 0 to 1. */
    private readonly changes: number,
  ) {
    this.client = createClient({ address: scene.address });
  }

  async work(): Promise<void> {
    const { scene, roll } = this;
    try {
      while (!scene.hasEnded()) {
        await this.reconnect();
        const key = scene.keys[Math.floor(roll() * scene.keys.length)] as string;
        await (roll() < this.changes ? this.change(key) : this.read(key));
        // Those that wait for others all the time meet them less.
        await sleep(roll() * PAUSE_MS);
      }
    } finally {
      this.client.close();
    }
  }

  /** A connection that found no daemon waits before it looks again, and fails all calls meanwhile: a new one looks at once. */
  private async reconnect(): Promise<void> {
    const serves = this.scene.serves();
    await serves;
    if (serves === this.connectedTo) return;
    this.connectedTo = serves;
    this.client.close();
    this.client = createClient({ address: this.scene.address });
  }

  private async read(key: string): Promise<void> {
    const kind = this.roll();
    if (kind < 0.3) await this.get(key);
    else if (kind < 0.6) await this.load(key);
    else if (kind < 0.75) await this.loadRevision(key);
    else if (kind < 0.85 && this.scene.lagging !== undefined) await this.hear(key, this.scene.lagging);
    else await this.list();
  }

  async get(key: string): Promise<void> {
    const call = () => this.client.getResult(key).then((result) => foundIn(result));
    this.note(key, (await this.scene.recorder.call(this.name, key, { do: 'read' }, call)).answer);
  }

  async load(key: string, from?: StoreRole): Promise<void> {
    const call = () => this.loaded(key, { ...(from && { from }) });
    this.note(key, (await this.scene.recorder.call(this.name, key, { do: 'read' }, call)).answer);
  }

  private async loaded(key: string, options: { revision?: bigint; from?: StoreRole }): Promise<Answer> {
    const { header, columns } = await this.client.load(key, options).toColumns();
    if (header.result === undefined) throw new Error('a load without its result');
    if (header.stale) throw new Error(`the load of ${key} says that it may be stale, and the primary never failed`);
    return foundIn(header.result, writersOf(columns));
  }

  private async loadRevision(key: string): Promise<void> {
    const revision = Math.max(1, (this.seen.get(key) ?? 1) - Math.floor(this.roll() * 3));
    const call = () => this.loaded(key, { revision: BigInt(revision) });
    await this.scene.recorder.call(this.name, key, { do: 'read revision', revision }, call);
  }

  /** Of a copy that lags behind it is only known that it was the newest once. */
  private async hear(key: string, from: StoreRole): Promise<void> {
    try {
      this.scene.recorder.hears(this.name, key, await this.loaded(key, { from }));
    } catch (error) {
      const isAbsent = error instanceof Error && 'reason' in error && error.reason === 'RESULT_NOT_FOUND';
      if (!isAbsent && !isCutOff(error)) throw error;
    }
  }

  async list(): Promise<void> {
    const { prefix, keys, recorder } = this.scene;
    const begin = recorder.now();
    const listed = new Map<string, Answer>();
    const orderBy = this.roll() < 0.5 ? 'key' : 'update_time desc';
    try {
      for await (const result of this.client.listResults({ prefix, pageSize: 2, orderBy })) {
        if (listed.has(result.key) && orderBy === 'key') throw new Error(`${result.key} is listed twice`);
        listed.set(result.key, foundIn(result));
      }
    } catch (error) {
      if (isCutOff(error)) return;
      throw error;
    }
    // What changes while it is read page by page moves in the order of changes, and may be passed by.
    const read = orderBy === 'key' ? keys : listed.keys();
    const answers = [...read].map((key) => ({ key, answer: listed.get(key) ?? ({ is: 'absent' } as const) }));
    recorder.reads(this.name, begin, answers);
  }

  private note(key: string, answer: Answer): void {
    if (answer.is !== 'found' && answer.is !== 'done') return;
    if (answer.revision !== undefined) this.seen.set(key, answer.revision);
  }

  private async change(key: string): Promise<void> {
    const { recorder } = this.scene;
    const kind = this.roll();
    const expected = this.roll() < 0.4 ? this.seen.get(key) : undefined;
    const isExpected = expected === undefined ? {} : { expected };
    const options = expected === undefined ? {} : { expectedRevision: BigInt(expected) };
    if (kind < 0.5) await this.save(key, expected);
    else if (kind < 0.6) await this.saveByWriter(key, expected);
    else if (kind < 0.7) await this.append(key);
    else if (kind < 0.85) {
      const tag = `tag ${nextWriter()}`;
      const call = () => this.client.updateResult(key, { tags: { tag } }, options);
      const update = { do: 'update', tag, ...isExpected } as const;
      this.note(
        key,
        (await recorder.call(this.name, key, update, async () => doneWith((await call()).revision))).answer,
      );
    } else {
      const call = async () => doneWith(await this.client.deleteResult(key, options));
      await recorder.call(this.name, key, { do: 'delete', ...isExpected }, call);
    }
  }

  /** By the client, which makes its connection anew and repeats the commit. */
  private async saveByWriter(key: string, expected: number | undefined): Promise<void> {
    const { writer, content } = this.newContent();
    const call = { do: 'save', content, ...(expected !== undefined && { expected }) } as const;
    const { answer } = await this.scene.recorder.call(this.name, key, call, async () => {
      const options = { tags: { tag: content.tag } };
      const upload = await this.client.save(key, PROBLEM, {
        ...options,
        ...(expected !== undefined && { expectedRevision: BigInt(expected) }),
      });
      const row = Array.from({ length: content.rowCount }, (_, i) => i);
      await upload.append({ writer: row.map(() => writer), row });
      return doneWith((await upload.commit()).revision);
    });
    this.note(key, answer);
  }

  private newContent(): { writer: number; content: Content } {
    const writer = nextWriter();
    const rowCount = SAVE_ROWS[Math.floor(this.roll() * SAVE_ROWS.length)] ?? 1;
    return { writer, content: { writers: [String(writer)], rowCount, tag: `saved ${writer}` } };
  }

  private async save(key: string, expected: number | undefined): Promise<void> {
    const { writer, content } = this.newContent();
    const uploadId = `save-${writer}`;
    const open = {
      ...{ key, uploadId, problem: PROBLEM, tags: { tag: content.tag } },
      ...(expected !== undefined && { expectedRevision: BigInt(expected) }),
    };
    const call = { do: 'save', content, ...(expected !== undefined && { expected }) } as const;
    const operation = await this.scene.recorder.call(this.name, key, call, async () => {
      const session = new SaveSession(this.scene.address, open, () => undefined);
      session.sendBatch(rowsOfSave(writer, 0, content.rowCount));
      try {
        return doneWith((await session.commit(content.rowCount)).result?.revision);
      } finally {
        session.cancel();
      }
    });
    this.note(key, operation.answer);
    if (operation.answer.is !== 'unknown' || this.roll() < 0.4) return;
    // The upload tells whether it was committed.
    await this.scene.serves();
    const session = new SaveSession(this.scene.address, { key, uploadId, problem: PROBLEM }, () => undefined);
    try {
      const { committed } = await session.isOpened();
      if (committed === undefined) this.scene.recorder.drop(key, operation);
      else Object.assign(operation, { answer: doneWith(committed.revision), end: this.scene.recorder.now() });
    } catch (error) {
      if (!isCutOff(error)) throw error;
    } finally {
      session.cancel();
    }
  }

  private async append(key: string): Promise<void> {
    const { recorder } = this.scene;
    const { writer, content } = this.newContent();
    const open = { key, uploadId: `save-${writer}`, append: true, tags: { tag: content.tag } };
    const session = new SaveSession(this.scene.address, open, () => undefined);
    try {
      let base: number | undefined;
      await recorder.call(this.name, key, { do: 'read' }, async () => {
        base = Number((await session.isOpened()).nextRow);
        return { is: 'found', revision: undefined, content: { rowCount: base } };
      });
      if (base === undefined) return;
      session.sendBatch(rowsOfSave(writer, base, content.rowCount));
      const rowCount = base + content.rowCount;
      const call = async () => doneWith((await session.commit(rowCount)).result?.revision);
      this.note(key, (await recorder.call(this.name, key, { do: 'append', content, base }, call)).answer);
    } finally {
      session.cancel();
    }
  }
}
