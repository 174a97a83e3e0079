import { expect } from 'vitest';
import { Backend, OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import type { Channel } from '../../clients/typescript/channel.js';
import { schemaOf } from '../../server/rows/batch.js';
import { checkBatch } from '../../server/rows/check.js';
import { all } from '../backends/runs.js';
import { RawLoad, rawLoad } from '../rpc/raw-load.js';
import { MIXED } from '../rpc/sample-runs.js';
import { SaveSession } from './save-session.js';
import { expectRows, firstOf, rowCountOf, type Piece } from './sent-rows.js';

const SCHEMA = schemaOf(MIXED.variables);
/** A superseded revision stays for ten minutes; this is surely less. */
const RETENTION_MS = 8 * 60_000;

/** What a key holds; undefined: nothing, or no longer. */
export type Content =
  { readonly pieces: readonly Piece[]; readonly tag: string; readonly uploadId: string } | undefined;

/** What was answered of a key, kept outside of the store. */
export interface KeyRecord {
  readonly key: string;
  revision: number;
  content: Content;
  /** Asked for, and not answered: happened or not. */
  maybe: { readonly content: Content } | undefined;
  /** The revision before, with its content, and until when it can be loaded. */
  earlier: { readonly revision: number; readonly content: Content; readonly untilMs: number } | undefined;
}

/** What was answered of an upload. */
export interface UploadRecord {
  readonly uploadId: string;
  readonly key: KeyRecord;
  readonly tag: string;
  /** Rows that it began with: it appends. */
  readonly base: readonly Piece[];
  /** Its own rows; not all of them may have been sent yet. */
  readonly piece: Piece;
  /** Its commit replaces this revision only. */
  readonly basedOn: number | undefined;
  ackedRows: number;
  sentRows: number;
  /** Asked for, and not answered. */
  maybe: 'committed' | 'aborted' | undefined;
}

/** Nobody was told of rows of its own: once left, it may be forgotten. */
export function hasAckedRows({ base, ackedRows }: UploadRecord): boolean {
  return ackedRows > rowCountOf(base);
}

/** All rows of an upload up to a number of them. */
export function rowsOf({ base, piece }: UploadRecord, rowCount: number): Piece[] {
  return firstOf([...base, piece], rowCount);
}

/** The revision that `expected_revision` would be; 0 where there is nothing. */
export function liveRevision({ revision, content }: KeyRecord): number {
  return content === undefined ? 0 : revision;
}

/** An answer came that gave a key a new revision. */
export function tell(key: KeyRecord, revision: number, content: Content): void {
  expect(revision, `${key.key}: a revision is one more than the key ever had`).toBe(key.revision + 1);
  if (key.content !== undefined)
    key.earlier = { revision: key.revision, content: key.content, untilMs: Date.now() + RETENTION_MS };
  Object.assign(key, { revision, content, maybe: undefined });
}

/** What clients were told; after a kill the store is held against it. */
export class Ledger {
  readonly keys: KeyRecord[] = [];
  readonly uploads = new Set<UploadRecord>();
  /** Uploads whose abort was answered. */
  readonly aborted = new Set<UploadRecord>();

  /** How the others ended. */
  private readonly ended = new Map<string, string>();

  /** Of all keys that begin with `prefix`. */
  constructor(private readonly prefix: string) {}

  addKey(key: string): KeyRecord {
    const record = { key, revision: 0, content: undefined, maybe: undefined, earlier: undefined };
    this.keys.push(record);
    return record;
  }

  /** An upload is no longer in progress. */
  end(upload: UploadRecord, how: string): void {
    this.uploads.delete(upload);
    this.ended.set(upload.uploadId, how);
  }

  /** Fails unless the store has what it must and may have; takes over which of the unanswered calls happened. Gives rows compared. */
  async check(client: OptistoreClient, channel: Channel): Promise<number> {
    let rows = 0;
    for (const key of this.keys) rows += await checkKey(key, channel);
    await this.checkUploads(client);
    for (const upload of this.uploads) rows += await this.checkUpload(upload, channel);
    for (const upload of this.aborted) {
      expect(await failure(open(upload, channel.address).isOpened())).toBe('UPLOAD_ABORTED');
      this.aborted.delete(upload);
    }
    const listed = (await all(client.listResults({ prefix: this.prefix }))).map(({ key, revision }) => [
      key,
      Number(revision),
    ]);
    const live = this.keys.filter(({ content }) => content !== undefined);
    expect(listed.sort()).toEqual(live.map(({ key, revision }) => [key, revision]).sort());
    return rows;
  }

  /** Fails unless a store by itself has the same; gives rows compared. All was checked, and nothing waits to be copied. */
  async checkCopies(channel: Channel, store: 'PRIMARY' | 'SECONDARY'): Promise<number> {
    let rows = 0;
    for (const { key, revision, content } of this.keys) {
      const what = `${key}@${revision} in the ${store.toLowerCase()}`;
      const load = await loadIfThere(channel, { key, backend: Backend[store] });
      expect(load === undefined, what).toBe(content === undefined);
      if (load === undefined) continue;
      expect(Number(load.header?.result?.revision), what).toBe(revision);
      rows += checkLoad(what, load, content);
    }
    return rows;
  }

  /** The uploads in progress are those that were opened and not ended. */
  private async checkUploads(client: OptistoreClient): Promise<void> {
    const listed = new Map(
      (await all(client.listUploads({ prefix: this.prefix }))).map((upload) => [upload.uploadId, upload]),
    );
    for (const upload of this.uploads) {
      const is = listed.get(upload.uploadId);
      listed.delete(upload.uploadId);
      if (is !== undefined) {
        if (upload.maybe === 'aborted') upload.maybe = undefined;
        const durable = Number(is.durableRowCount);
        expect(durable, `${upload.uploadId}: durable rows listed`).toBeGreaterThanOrEqual(upload.ackedRows);
      } else if (upload.key.content?.uploadId !== upload.uploadId) {
        const isKept = hasAckedRows(upload);
        expect(isKept && upload.maybe !== 'aborted', `${upload.uploadId} is gone`).toBe(false);
        this.end(upload, isKept ? 'its abort was not answered' : 'it had no acked rows, and was not listed');
        if (isKept) this.aborted.add(upload);
      }
    }
    for (const uploadId of listed.keys())
      throw new Error(`${uploadId} is in progress: ${this.ended.get(uploadId) ?? 'nobody opened it'}`);
  }

  /** An upload goes on behind what was acked, and has the rows that were sent. */
  private async checkUpload(upload: UploadRecord, channel: Channel): Promise<number> {
    const { uploadId, key } = upload;
    const session = open(upload, channel.address);
    const { nextRow, committed } = await session.isOpened();
    if (committed !== undefined) {
      expect(upload.maybe, `${uploadId} is committed, and nobody asked for that`).toBe('committed');
      expect(key.content?.uploadId, `${uploadId} is committed`).toBe(uploadId);
      // Repeated after a lost answer, a commit gives the same result.
      const again = await session.commit(Number(nextRow));
      expect(Number(again.result?.revision)).toBe(key.revision);
      session.cancel();
      this.end(upload, 'its commit was not answered');
      return 0;
    }
    expect(key.content?.uploadId, `${uploadId} is open`).not.toBe(uploadId);
    upload.maybe = undefined;
    const rowCount = resumed(upload, nextRow);
    await checkFollowed(upload, rowCount, channel);
    await session.end();
    return rowCount;
  }
}

/** An upload was opened again: from which row on is what it says. */
export function resumed(upload: UploadRecord, nextRow: bigint): number {
  const { uploadId, ackedRows, sentRows } = upload;
  expect(Number(nextRow), `${uploadId}: goes on behind what was acked`).toBeGreaterThanOrEqual(ackedRows);
  expect(Number(nextRow), `${uploadId}: goes on within what was sent`).toBeLessThanOrEqual(sentRows);
  upload.ackedRows = upload.sentRows = Number(nextRow);
  return upload.ackedRows;
}

const open = ({ uploadId, key }: UploadRecord, address: string) =>
  new SaveSession(address, { key: key.key, uploadId }, () => undefined);

/** A key has what was answered last, or what was asked for behind that; and what it had before can still be loaded. */
async function checkKey(record: KeyRecord, channel: Channel): Promise<number> {
  const { key, maybe, revision } = record;
  const load = await loadIfThere(channel, { key });
  if (load === undefined) {
    if (record.content !== undefined) {
      expect(maybe, `${key} is gone`).toEqual({ content: undefined });
      tell(record, revision + 1, undefined);
    }
  } else if (Number(load.header?.result?.revision) !== revision || record.content === undefined) {
    expect(maybe?.content, `${key} has what nobody has saved`).toBeDefined();
    tell(record, Number(load.header?.result?.revision), maybe?.content);
  }
  record.maybe = undefined;
  const rows = load === undefined ? 0 : checkLoad(`${key}@${record.revision}`, load, record.content);
  const { earlier } = record;
  if (earlier === undefined || Date.now() > earlier.untilMs) return rows;
  const before = await rawLoad(channel, { key, revision: BigInt(earlier.revision) });
  return rows + checkLoad(`${key}@${earlier.revision}, superseded`, before, earlier.content);
}

async function loadIfThere(
  channel: Channel,
  request: { key: string; backend?: Backend },
): Promise<RawLoad | undefined> {
  return rawLoad(channel, request).catch((error: unknown) => {
    if (error instanceof OptistoreError && error.reason === 'RESULT_NOT_FOUND') return undefined;
    throw error;
  });
}

/** A load gave a content, and nothing else. */
export function checkLoad(what: string, load: RawLoad, content: Content): number {
  const { uploadId, tags } = load.header?.result ?? {};
  expect({ uploadId, tag: tags?.['tag'] }, what).toEqual({ uploadId: content?.uploadId, tag: content?.tag });
  const batches = load.batches.map((batch) => checkBatch(SCHEMA, batch));
  expectRows(what, batches, content?.pieces ?? []);
  return rowCountOf(batches);
}

/** A follower gets the rows that an upload has. */
async function checkFollowed(upload: UploadRecord, rowCount: number, channel: Channel): Promise<void> {
  const { key } = upload.key;
  const load = new RawLoad(channel, { key, uploadId: upload.uploadId, follow: true });
  while (load.header === undefined || rowCountOf(load.batches) < rowCount) await load.step();
  load.cancel();
  const batches = load.batches.map((batch) => checkBatch(SCHEMA, batch));
  expectRows(upload.uploadId, batches, rowsOf(upload, rowCount));
}

/** The reason that the daemon gives for a call's failure; `nothing` where it does not fail. */
export async function failure(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'nothing',
    (error: unknown) => {
      if (error instanceof OptistoreError && error.reason !== undefined) return error.reason;
      throw error;
    },
  );
}
