import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { create, toJsonString } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ManifestSchema, RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { ReplicationMode, ResultSetSchema } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import { asText, commit, lineRows, load, RUNNING, save, uploadSpec } from '../backends/runs.js';
import { newest } from '../backends/suite-copies.js';

/** Rows that are a block of a file at once. */
const BLOCK_ROWS = 20_000;

/** What a revision or marker says, and its rows, as text. */
export interface KnownState {
  readonly said: string;
  readonly rows: unknown;
}

/** What a key has, by the store that was not damaged. */
export interface KnownKey {
  readonly key: string;
  /** What its newest revision or marker says, as text. */
  readonly said: string;
  readonly kind: RevisionKind;
  readonly revision: bigint;
  /** Rows of the newest, as text. */
  readonly rows: unknown;
  /** Older revisions that are kept, as text. */
  readonly older: ReadonlyMap<bigint, KnownState>;
  /** What it had before changes that make no revision: those of its tags and result sets, and a migration. */
  readonly earlier: readonly KnownState[];
}

/** An upload that was acked so many rows: those of lineRows times its factor. */
export interface KnownUpload {
  readonly uploadId: string;
  readonly key: string;
  readonly rowCount: number;
  readonly factor: number;
}

/** All that a store holds before it is damaged. */
export interface KnownStore {
  readonly keys: readonly KnownKey[];
  readonly uploads: readonly KnownUpload[];
  /** Ids of uploads that are results, with their keys. */
  readonly committed: readonly { readonly uploadId: string; readonly key: string; readonly said: string }[];
}

/** What a manifest says to its readers: all but where its store keeps it. */
export function saidBy(manifest: Manifest): string {
  const rest = { ...manifest };
  delete rest.supersededTime;
  return toJsonString(ManifestSchema, { ...rest, segments: [], sizeBytes: 0n, changeNumber: 0n });
}

/**
 * Fills a store with something of everything that stores hold, and gives it as it is open. What it wrote until it was opened a
 * second time lies in other files of some stores, as LevelDB's tables.
 */
export async function fill(
  open: () => Promise<StorageBackend>,
): Promise<{ backend: StorageBackend; known: KnownStore }> {
  const first = await open();
  await saveResults(first);
  await first[Symbol.asyncDispose]();
  const backend = await open();
  const earlier = await changeResults(backend);
  const uploads = await openUploads(backend);
  return {
    backend,
    known: { keys: await knownKeys(backend, earlier), uploads, committed: await committedIds(backend) },
  };
}

async function saveResults(backend: StorageBackend): Promise<void> {
  for (let i = 0; i < 12; i++)
    await save(backend, `small-${i}`, [lineRows(0, 1 + 17 * i, i + 1)], { tags: { of: `small-${i}` } });
  for (const i of [1, 2]) await saveRowByRow(backend, `gathered-${i}`, 150, i + 20);
  for (const i of [1, 2]) await save(backend, `large-${i}`, [lineRows(0, BLOCK_ROWS, i + 30)]);
  await save(backend, 'appended', [lineRows(0, 500, 41)]);
  await save(backend, 'with-sets', [lineRows(0, 300, 71)], { description: 'has sets' });
  for (const key of ['deleted-1', 'deleted-2', 'moved']) await save(backend, key, [lineRows(0, 30, 91)]);
  await save(backend, 'revised', [lineRows(0, 60, 51)], { tags: { i: '1' } });
}

/** Adds to what is there, changes and deletes it; gives what keys had before changes that make no revision. */
async function changeResults(backend: StorageBackend): Promise<ReadonlyMap<string, KnownState[]>> {
  const earlier = new Map<string, KnownState[]>();
  const remember = async (key: string) =>
    earlier.set(key, [...(earlier.get(key) ?? []), await stateOf(backend, await newest(backend, key))]);
  for (let i = 12; i < 18; i++)
    await save(backend, `small-${i}`, [lineRows(0, 1 + 17 * i, i + 1)], { tags: { of: `small-${i}` } });
  await save(backend, 'large-3', [lineRows(0, BLOCK_ROWS, 33)]);
  await save(backend, 'appended', [lineRows(500, BLOCK_ROWS, 41)], { append: true });
  for (const i of [2, 3]) await save(backend, 'revised', [lineRows(0, 60, 50 + i)], { tags: { i: String(i) } });
  for (const i of [1, 2]) await save(backend, 'revised-large', [lineRows(0, BLOCK_ROWS, 60 + i)]);
  const annotate = async (edit: (manifest: Manifest) => void) => {
    await remember('with-sets');
    await backend.annotate('with-sets', undefined, edit, RUNNING);
  };
  await annotate((manifest) => void (manifest.tags['note'] = 'checked'));
  await annotate((manifest) => manifest.resultSets.push(create(ResultSetSchema, { name: 'best', rowCount: 1n })));
  for (const key of ['waits-1', 'waits-2'])
    await save(backend, key, [lineRows(0, 40, 81)], { replication: ReplicationMode.ASYNC });
  for (const key of ['deleted-1', 'deleted-2']) await backend.delete(key, undefined, RUNNING);
  await remember('moved');
  await backend.moveOut('moved', 1, RUNNING);
  return earlier;
}

async function stateOf(backend: StorageBackend, manifest: Manifest): Promise<KnownState> {
  const isResult = manifest.kind === RevisionKind.COMMITTED;
  return { said: saidBy(manifest), rows: isResult ? asText(await load(backend, manifest)) : undefined };
}

async function saveRowByRow(backend: StorageBackend, key: string, rowCount: number, factor: number): Promise<void> {
  await using upload = await backend.openUpload(uploadSpec(key, `${key}-run`), RUNNING);
  for (let row = 0; row < rowCount; row++) {
    await upload.append(lineRows(row, 1, factor));
    if (row % 50 === 0) await upload.sync();
  }
  await commit(upload);
}

/** Uploads whose acked rows lie in all places where such rows lie; their handles are let go with the store. */
async function openUploads(backend: StorageBackend): Promise<KnownUpload[]> {
  const known: KnownUpload[] = [];
  const open = async (uploadId: string, key: string, factor: number, counts: readonly number[], append = false) => {
    const upload = await backend.openUpload(uploadSpec(key, uploadId, { append }), RUNNING);
    for (const count of counts) {
      await upload.append(lineRows(upload.nextRow, count, factor));
      await upload.sync();
    }
    known.push({ uploadId, key, factor, rowCount: upload.nextRow });
  };
  await open('open-small', 'open-a', 101, [3, 5, 7, 40]);
  await open('open-other', 'open-b', 102, [3, 5, 7, 40]);
  await open('open-blocks', 'open-c', 103, [BLOCK_ROWS, 30, BLOCK_ROWS, 25]);
  await open('open-append', 'appended', 41, [11, 12], true);
  await (await backend.openUpload(uploadSpec('given-up', 'aborted'), RUNNING)).append(lineRows(0, 3));
  await backend.abortUpload('aborted', RUNNING);
  return known;
}

const KEYS = [
  ...Array.from({ length: 18 }, (_, i) => `small-${i}`),
  ...['gathered-1', 'gathered-2', 'large-1', 'large-2', 'large-3', 'appended', 'revised', 'revised-large', 'with-sets'],
  ...['waits-1', 'waits-2', 'deleted-1', 'deleted-2', 'moved'],
];

async function knownKeys(
  backend: StorageBackend,
  earlier: ReadonlyMap<string, readonly KnownState[]>,
): Promise<KnownKey[]> {
  const known: KnownKey[] = [];
  for (const key of KEYS) {
    const manifest = await newest(backend, key);
    const { revision, kind } = manifest;
    const older = new Map<bigint, KnownState>();
    for (let number = revision - 1n; number >= 1n; number--) {
      const before = await backend.stat(key, Number(number), RUNNING);
      if (before.kind === RevisionKind.COMMITTED) older.set(number, await stateOf(backend, before));
    }
    known.push({ key, kind, revision, older, earlier: earlier.get(key) ?? [], ...(await stateOf(backend, manifest)) });
  }
  return known;
}

async function committedIds(backend: StorageBackend): Promise<KnownStore['committed']> {
  const ids = [];
  for (const key of ['small-3', 'small-14', 'gathered-1', 'large-1', 'large-3', 'revised']) {
    const manifest = await newest(backend, key);
    ids.push({ uploadId: manifest.uploadId, key, said: saidBy(manifest) });
  }
  return ids;
}

/** Puts a copy of a store's files in another place; files with several names stay such. */
export async function copyFiles(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await promisify(execFile)('cp', ['-a', from, to]);
}
