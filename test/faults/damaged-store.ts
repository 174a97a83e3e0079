import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ListOrder, StorageBackend } from '../../server/backends/backend.js';
import { StorageError, type Reason } from '../../server/errors.js';
import { CircuitBreaker } from '../../server/manager/circuit-breaker.js';
import { inRole } from '../../server/manager/role-store.js';
import { all, asText, commit, lineRows, load, RUNNING, save, uploadSpec } from '../backends/runs.js';
import { saidBy, type KnownKey, type KnownState, type KnownStore, type KnownUpload } from './damaged-world.js';

/** What a damaged store may do besides giving what is right, or RESULT_CORRUPT. */
export interface Allowances {
  /** The store tells in its status that entries may lack: then a key may be gone, or be at an older revision of its own. */
  readonly isReported: boolean;
  /** Its process was killed, and the end of the file is gone that commits are written to: they look unfinished. */
  readonly mayLackCommits: boolean;
  /** The same of a file that rows of open uploads are written to. */
  readonly mayLackRows: boolean;
}

/** What became of the keys and uploads of a damaged store. */
export interface Outcomes {
  readonly right: string[];
  readonly corrupt: string[];
  /** Gone or older, which the store's status tells. */
  readonly lacking: string[];
}

/**
 * Asks a store that was damaged for all that it held. Fails where anything is wrong that is not told: rows, what a manifest says,
 * an older revision, a key that is gone; and by any error but RESULT_CORRUPT.
 */
export async function checkStore(store: StorageBackend, known: KnownStore, allowances: Allowances): Promise<Outcomes> {
  const outcomes: Outcomes = { right: [], corrupt: [], lacking: [] };
  for (const key of known.keys) await sorted(outcomes, key.key, allowances, () => checkKey(store, key));
  await checkLists(store, known, outcomes, allowances);
  await checkChanges(store, known, outcomes, allowances);
  for (const upload of known.uploads)
    await sorted(outcomes, upload.uploadId, allowances, () => checkView(store, upload, allowances));
  for (const { uploadId, key, said } of known.committed)
    await sorted(outcomes, uploadId, allowances, async () => {
      await using upload = await store.openUpload(uploadSpec(key, uploadId, { problem: undefined }), RUNNING);
      if (upload.committed === undefined && (allowances.isReported || allowances.mayLackCommits)) return false;
      expectSame(`the result of ${uploadId}`, upload.committed && saidBy(upload.committed), said);
      return true;
    });
  for (const upload of known.uploads)
    await sorted(outcomes, upload.uploadId, allowances, () => checkResume(store, upload, allowances));
  await checkSave(store);
  return outcomes;
}

/** After a restart that a store asked for: results are as they were, whatever else was written before, and it takes writes. */
export async function checkRestarted(
  store: StorageBackend,
  known: KnownStore,
  allowances: Allowances,
): Promise<Outcomes> {
  const outcomes: Outcomes = { right: [], corrupt: [], lacking: [] };
  const written = new Set(known.uploads.map(({ key }) => key));
  for (const key of known.keys)
    if (!written.has(key.key)) await sorted(outcomes, key.key, allowances, () => checkKey(store, key));
  await checkSave(store);
  return outcomes;
}

async function checkSave(store: StorageBackend): Promise<void> {
  const fresh = await save(store, 'fresh', [lineRows(0, 9)]);
  expectSame('fresh', asText(await load(store, fresh)), asText(lineRows(0, 9)));
}

/** Sorts by what an act gives: whether all was right, or that it lacks, which must be reported. */
async function sorted(
  outcomes: Outcomes,
  name: string,
  { isReported, mayLackCommits }: Allowances,
  act: () => Promise<boolean>,
): Promise<void> {
  try {
    if (await act()) outcomes.right.push(name);
    else if (isReported || mayLackCommits) outcomes.lacking.push(name);
    else throw new Error(`${name} is gone, or older than it was, and nothing tells of it`);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    const isGone = ['RESULT_NOT_FOUND', 'REVISION_NOT_FOUND', 'UPLOAD_NOT_FOUND'].includes(error.reason);
    if (isGone && (isReported || mayLackCommits)) outcomes.lacking.push(name);
    else if (error.reason === 'RESULT_CORRUPT') outcomes.corrupt.push(name);
    else throw new Error(`${name}: ${error.reason} is no answer to damage: ${error.message}`, { cause: error });
  }
}

/** What a manifest says that the key had before, undefined where it can only be the newest. */
function earlierState({ older, earlier, revision }: KnownKey, manifest: Manifest): KnownState | undefined {
  const said = saidBy(manifest);
  return manifest.revision < revision ? older.get(manifest.revision) : earlier.find((state) => state.said === said);
}

/** True: all is right. False: it is as it was before, whole. */
async function checkKey(store: StorageBackend, known: KnownKey): Promise<boolean> {
  const manifest = await store.stat(known.key, undefined, RUNNING);
  const rows = manifest.kind === RevisionKind.COMMITTED ? asText(await load(store, manifest)) : undefined;
  const before = earlierState(known, manifest);
  expectSame(known.key, saidBy(manifest), (before ?? known).said);
  expectSame(`rows of ${known.key}`, rows, (before ?? known).rows);
  if (before !== undefined) return false;
  for (const [revision, { said, rows: olderRows }] of known.older) {
    const older = await store.stat(known.key, Number(revision), RUNNING).catch(unlessGone);
    if (older === undefined) continue;
    expectSame(`${known.key} at ${revision}`, saidBy(older), said);
    const loaded = await load(store, older).catch(unlessGone);
    if (loaded !== undefined) expectSame(`rows of ${known.key} at ${revision}`, asText(loaded), olderRows);
  }
  return true;
}

/** Of what is kept for a while only, that it is gone tells enough. */
function unlessGone(error: unknown): undefined {
  const reason = error instanceof StorageError ? error.reason : '';
  if (reason !== 'REVISION_NOT_FOUND' && reason !== 'RESULT_CORRUPT') throw error;
}

/** Lists show what can be read, as it is, and nothing else; where something lacks, they say so. */
async function checkLists(
  store: StorageBackend,
  { keys }: KnownStore,
  outcomes: Outcomes,
  { isReported, mayLackCommits }: Allowances,
): Promise<void> {
  const lost = new Set([...outcomes.corrupt, ...outcomes.lacking]);
  for (const orderBy of ['key', 'commit_time', 'update_time'] as ListOrder[]) {
    const query = { prefix: '', filter: undefined, orderBy, descending: false };
    const list = inRole('primary', store, new CircuitBreaker('primary')).list(query, RUNNING);
    const listed = new Map((await all(list)).map((manifest) => [manifest.key, manifest]));
    for (const known of keys) {
      const { key, kind } = known;
      const manifest = listed.get(key);
      if (manifest !== undefined) {
        // Of what a key had before, the rows may be damaged as well.
        const mayBeOlder = lost.has(key) && (isReported || mayLackCommits);
        const before = mayBeOlder ? earlierState(known, manifest) : undefined;
        expectSame(`${key} by ${orderBy}`, saidBy(manifest), before?.said ?? known.said);
      } else if (kind === RevisionKind.COMMITTED && !lost.has(key))
        throw new Error(`${key} can be loaded, and is not in the list by ${orderBy}`);
      else if (kind === RevisionKind.COMMITTED && outcomes.corrupt.includes(key) && list.unreachable.size === 0)
        throw new Error(`${key} is passed over by the list by ${orderBy}, which does not say so`);
    }
    const strange = [...listed.keys()].filter((key) => !keys.some((known) => known.key === key));
    if (strange.length > 0) throw new Error(`the list by ${orderBy} shows ${strange.join()}, which never was`);
  }
}

async function checkChanges(
  store: StorageBackend,
  { keys }: KnownStore,
  outcomes: Outcomes,
  { isReported, mayLackCommits }: Allowances,
): Promise<void> {
  const lost = new Set([...outcomes.corrupt, ...outcomes.lacking]);
  const told = new Map((await all(store.changes({ after: 0n }, RUNNING))).map((manifest) => [manifest.key, manifest]));
  const pending = new Set((await all(store.changes({ after: 0n, pending: true }, RUNNING))).map(({ key }) => key));
  for (const { key, said } of keys) {
    const manifest = told.get(key);
    if (manifest !== undefined && !lost.has(key)) expectSame(`the change of ${key}`, saidBy(manifest), said);
    if (manifest === undefined && !lost.has(key)) throw new Error(`${key} is not among the changes`);
    if (key.startsWith('waits') && !pending.has(key) && !lost.has(key) && !isReported && !mayLackCommits)
      throw new Error(`${key} no longer waits for its replication`);
  }
}

/** How few rows an upload may have. */
function leastRows({ rowCount }: KnownUpload, { isReported, mayLackCommits, mayLackRows }: Allowances): number {
  return isReported || mayLackCommits || mayLackRows ? 0 : rowCount;
}

/** For a `catch`: a reason gives undefined where it is allowed, any other failure stays one. */
function unless(reason: Reason, isAllowed: boolean): (error: unknown) => undefined {
  return (error) => {
    if (!isAllowed || !(error instanceof StorageError) || error.reason !== reason) throw error;
  };
}

/** An upload may be unknown whose record was the last write before a kill. */
function unlessForgotten({ mayLackRows, mayLackCommits }: Allowances): (error: unknown) => undefined {
  return unless('UPLOAD_NOT_FOUND', mayLackRows || mayLackCommits);
}

async function checkView(store: StorageBackend, upload: KnownUpload, allowances: Allowances): Promise<boolean> {
  const view = await store.viewUpload(upload.uploadId, RUNNING).catch(unlessForgotten(allowances));
  if (view?.state !== 'open') return view === undefined;
  const rowCount = Number(view.manifest.rowCount);
  if (rowCount < leastRows(upload, allowances) || rowCount > upload.rowCount)
    throw new Error(`${upload.uploadId} shows ${rowCount} rows; acked were ${upload.rowCount}`);
  let next = 0;
  for await (const batch of view.read({ columns: [0, 1], firstRow: 0 }, RUNNING)) {
    const factor = upload.uploadId === 'open-append' ? 41 : upload.factor;
    expectSame(`rows of ${upload.uploadId}`, asText(batch), asText(lineRows(next, batch.rowCount, factor)));
    next += batch.rowCount;
  }
  if (next < rowCount) throw new Error(`${upload.uploadId} shows ${rowCount} rows and gives ${next}`);
  return true;
}

/** Resumes an upload where it is, and commits it: rows are those that were acked, all of them, or it says what lacks. */
async function checkResume(store: StorageBackend, known: KnownUpload, allowances: Allowances): Promise<boolean> {
  const isAppend = known.uploadId === 'open-append';
  await using upload = await store
    .openUpload(uploadSpec(known.key, known.uploadId, { problem: undefined, append: isAppend }), RUNNING)
    .catch(unlessForgotten(allowances));
  if (upload === undefined) return true;
  if (upload.nextRow < leastRows(known, allowances) || upload.nextRow > known.rowCount)
    throw new Error(`${known.uploadId} goes on at row ${upload.nextRow}; acked were ${known.rowCount}`);
  await upload.append(lineRows(upload.nextRow, 5, known.factor));
  const rowCount = upload.nextRow;
  // Its base was replaced by an older one, or is gone.
  const mayMismatch = isAppend && (allowances.isReported || allowances.mayLackCommits);
  const manifest = await commit(upload).catch(unless('REVISION_MISMATCH', mayMismatch));
  if (manifest === undefined) return false;
  expectSame(`rows of ${known.key}`, asText(await load(store, manifest)), asText(lineRows(0, rowCount, known.factor)));
  return true;
}

function expectSame(what: string, found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found) ?? 'nothing', JSON.stringify(expected) ?? 'nothing'];
  if (a !== b) throw new Error(`${what} is wrong: ${a.slice(0, 400)} instead of ${b.slice(0, 400)}`);
}
