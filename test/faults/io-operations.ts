import { expect } from 'vitest';
import { OptistoreError } from '../../clients/typescript/index.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { toRowBatch } from '../../server/rows/wire.js';
import { all, asText, LINE, lineRows } from '../backends/runs.js';
import { rawLoad } from '../rpc/raw-load.js';
import type { FailingWorld } from './io-world.js';
import { SaveSession } from './save-session.js';
import { Errno } from './shim/faulty-daemon.js';

/** Something that a client asks for, during which a call on a file fails. */
export interface Operation {
  readonly name: string;
  /** What has to be there before. Nothing fails. */
  prepare?(world: FailingWorld, key: string): Promise<void>;
  /** Tries it; it is tried again until it ends well. */
  act(world: FailingWorld, key: string): Promise<void>;
}

/** Rows that wait in a journal, … */
const FEW = [40, 40, 7];
/** … that are more than LevelDB writes of its index at once, … */
const SOME = [3000];
/** … that are gathered there until they are a block, … */
const GATHERED = [15_000, 15_000, 15_000, 15_000, 15_000, 15_000];
/** … and that are a block at once, with a few in between. */
const MANY = [20_000, 60, 20_000, 60];

/** How a save is made. */
interface SaveWays {
  readonly append?: boolean;
  readonly replicate?: boolean;
  /** Nothing is acked before the commit is asked for. */
  readonly atOnce?: boolean;
  /** It is left in the middle, to be resumed. */
  readonly leaves?: boolean;
}

const uploadOf = (key: string) => `of.${key.replace('/', '.')}`;

/** Saves rows, from where the daemon says that it has them, and commits. */
async function save(world: FailingWorld, key: string, batches: readonly number[], ways: SaveWays = {}): Promise<void> {
  const given = world.key(key);
  const { factor, revision } = given;
  const uploadId = ways.append === true ? `${uploadOf(key)}.more` : uploadOf(key);
  const base = ways.append === true ? given.rows : 0;
  const about = { key, factor, uploadId };
  const onAck = (acked: number) => world.tell({ ...about, acked });
  const session = new SaveSession(
    world.daemon.address,
    {
      ...{ key, uploadId, append: ways.append ?? false },
      ...(ways.append !== true && { problem: LINE }),
      replication: ways.replicate === true ? ReplicationMode.SYNC : ReplicationMode.NONE,
    },
    onAck,
  );
  try {
    const { nextRow, committed } = await session.isOpened();
    expect(Number(nextRow), `${uploadId}: what was acked is there`).toBeGreaterThanOrEqual(world.ackedOf(uploadId));
    // Where a client is told to go on, it sends nothing again that lies before.
    if (nextRow > base) onAck(Number(nextRow));
    const rowCount = batches.reduce((sum, count) => sum + count, base);
    if (committed === undefined) await sendFrom(world, session, Number(nextRow), { about, base, batches, ...ways });
    if (ways.leaves === true) return session.cancel();
    world.ask({ ...about, acked: rowCount, revision: revision + 1, rows: rowCount });
    const { result } = await session.commit(rowCount);
    expect(Number(result?.revision)).toBe(revision + 1);
    world.tell({ ...about, acked: rowCount, revision: revision + 1, rows: rowCount });
    Object.assign(given, { rows: rowCount, revision: revision + 1 });
    await session.end();
  } finally {
    session.cancel();
  }
}

interface Sent {
  readonly about: { readonly key: string; readonly factor: number; readonly uploadId: string };
  readonly base: number;
  readonly batches: readonly number[];
  readonly atOnce?: boolean;
}

async function sendFrom(world: FailingWorld, session: SaveSession, nextRow: number, sent: Sent) {
  const { about, base, batches, atOnce } = sent;
  let end = base;
  for (const count of batches) {
    const from = Math.max(nextRow, end);
    end += count;
    if (from >= end) continue;
    world.ask({ ...about, acked: end });
    session.sendBatch(toRowBatch(lineRows(from, end - from, about.factor), LINE.variables));
    if (atOnce === true) continue;
    session.flush();
    await session.isAcked(end);
  }
}

async function update(world: FailingWorld, key: string): Promise<void> {
  const given = world.key(key);
  const next = { key, factor: given.factor, acked: 0, revision: given.revision + 1, rows: given.rows };
  world.ask(next);
  const { revision } = await world.client.getResult(key);
  if (Number(revision) === given.revision) await world.client.updateResult(key, { description: 'changed' });
  world.tell(next);
  given.revision++;
}

async function remove(world: FailingWorld, key: string): Promise<void> {
  const given = world.key(key);
  const next = { key, factor: given.factor, acked: 0, revision: given.revision + 1 };
  world.ask(next);
  try {
    await world.client.deleteResult(key);
  } catch (error) {
    // An earlier try has deleted it, and was not answered.
    if (!(error instanceof OptistoreError) || error.reason !== 'RESULT_NOT_FOUND') throw error;
  }
  world.tell(next);
}

async function abort(world: FailingWorld, key: string): Promise<void> {
  world.forget(uploadOf(key));
  await world.client.abortUpload(uploadOf(key));
  const session = new SaveSession(
    world.daemon.address,
    { key, uploadId: uploadOf(key), problem: LINE },
    () => undefined,
  );
  const opened: unknown = await session
    .isOpened()
    .catch((error: unknown) => error)
    .finally(() => session.cancel());
  // The call that fails may be one of this opening.
  if (opened instanceof OptistoreError && opened.reason !== 'UPLOAD_ABORTED') throw opened;
  expect(opened).toMatchObject({ reason: 'UPLOAD_ABORTED' });
}

async function load(world: FailingWorld, key: string): Promise<void> {
  const { rows, factor } = world.key(key);
  const loaded = await rawLoad(world.channel, { key });
  expect(asText(loaded.rows()), key).toEqual(asText(lineRows(0, rows, factor)));
}

async function list(world: FailingWorld, key: string): Promise<void> {
  const listed = await all(world.client.listResults({ prefix: key }));
  expect(listed.map((result) => result.key)).toEqual([key]);
  expect((await all(world.client.listUploads({ prefix: key }))).length).toBe(0);
}

async function migrate(world: FailingWorld, key: string, from: 'primary' | 'secondary'): Promise<void> {
  const to = from === 'primary' ? 'secondary' : 'primary';
  for await (const { failure } of world.client.migrate({ key }, { from, to }))
    if (failure !== '') throw new Error(`${key}: ${failure}`);
  await load(world, key);
}

const saved = (rows: readonly number[]) => (world: FailingWorld, key: string) => save(world, key, rows);
const left = (rows: readonly number[]) => (world: FailingWorld, key: string) =>
  save(world, key, rows, { leaves: true });

/** An upload whose sync has failed, so that it is taken up from what is safe. */
async function broken(world: FailingWorld, key: string, rows: readonly number[]): Promise<void> {
  await save(world, key, rows.slice(0, 2), { leaves: true });
  world.daemon.failNth('sync', 1, Errno.EIO);
  await save(world, key, rows.slice(0, 3), { leaves: true }).catch((error: unknown) => {
    if (!(error instanceof OptistoreError)) throw error;
  });
  world.daemon.disarm();
}

/** What is tried with one store. */
export const OPERATIONS: readonly Operation[] = [
  { name: 'save few', act: saved(FEW) },
  { name: 'save some', act: saved(SOME) },
  { name: 'save many', act: saved(MANY) },
  { name: 'save gathered', act: saved(GATHERED) },
  { name: 'leave few', act: left(FEW) },
  { name: 'leave many', act: left(MANY) },
  { name: 'save few at once', act: (world, key) => save(world, key, FEW, { atOnce: true }) },
  { name: 'save many at once', act: (world, key) => save(world, key, MANY, { atOnce: true }) },
  { name: 'resume few', prepare: left(FEW), act: saved([...FEW, 20]) },
  { name: 'resume many', prepare: left(MANY), act: saved([...MANY, 20_000]) },
  { name: 'go on with few', prepare: (world, key) => broken(world, key, FEW), act: saved(FEW) },
  { name: 'go on with many', prepare: (world, key) => broken(world, key, MANY), act: saved(MANY) },
  { name: 'append few', prepare: saved(FEW), act: (world, key) => save(world, key, FEW, { append: true }) },
  { name: 'append many', prepare: saved(MANY), act: (world, key) => save(world, key, MANY, { append: true }) },
  { name: 'update', prepare: saved(FEW), act: update },
  { name: 'delete few', prepare: saved(FEW), act: remove },
  { name: 'delete many', prepare: saved(MANY), act: remove },
  { name: 'abort few', prepare: left(FEW), act: abort },
  { name: 'abort many', prepare: left(MANY), act: abort },
  { name: 'load few', prepare: saved(FEW), act: load },
  { name: 'load many', prepare: saved(MANY), act: load },
  { name: 'list', prepare: saved(FEW), act: list },
];

/** One of them by its name. */
export function operationOf(name: string): Operation {
  const operation = OPERATIONS.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`there is no operation "${name}"`);
  return operation;
}

/** What a daemon finds when it starts. */
export const LEFT: readonly Operation[] = OPERATIONS.filter(({ name }) =>
  ['resume few', 'resume many', 'load few', 'load many', 'go on with many'].includes(name),
);

/** What is tried with two. */
export const OPERATIONS_OF_TWO: readonly Operation[] = [
  { name: 'replicate few', act: (world, key) => save(world, key, FEW, { replicate: true }) },
  { name: 'replicate many', act: (world, key) => save(world, key, MANY, { replicate: true }) },
  { name: 'migrate few', prepare: saved(FEW), act: (world, key) => migrate(world, key, 'primary') },
  { name: 'migrate many', prepare: saved(MANY), act: (world, key) => migrate(world, key, 'primary') },
  {
    name: 'migrate back',
    prepare: (world, key) => save(world, key, MANY).then(() => migrate(world, key, 'primary')),
    act: (world, key) => migrate(world, key, 'secondary'),
  },
];
