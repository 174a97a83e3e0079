import { expect } from 'vitest';
import type { StorageBackend } from '../../../server/backends/backend.js';
import { StorageError } from '../../../server/errors.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { asText, commit, lineRows, load, RUNNING, uploadSpec } from '../../backends/runs.js';

/** What the daemon answered, and how long the log of its calls was when the answer had come. */
export interface Answer {
  readonly key: string;
  /** Infinity: it was asked for, and not answered. */
  readonly logLength: number;
  /** The rows are `lineRows` with this factor. */
  readonly factor: number;
  readonly uploadId?: string;
  /** Rows of the upload that were acked. */
  readonly acked: number;
  /** A commit, an update or a deletion made this revision. */
  readonly revision?: number;
  /** Rows of that revision; undefined: it is a deletion's. */
  readonly rows?: number;
}

/** What a key has in a store. */
export interface Found {
  /** Undefined: nothing tells that there ever was one. */
  readonly revision: number | undefined;
  /** As `asText` gives them; undefined: there is no result. */
  readonly rows: unknown;
}

/** A store that is held against what was answered. */
export interface Questioned {
  newest(key: string): Promise<Found>;
  /** Takes an upload up again, says where it goes on, and may go on with it. */
  goOn(key: string, uploadId: string, factor: number): Promise<number | 'committed'>;
}

/** Fails unless a store has all that was answered up to a place of the log, and nothing that was never asked for. */
export async function checkAnswers(store: Questioned, answers: readonly Answer[], cut = Infinity): Promise<void> {
  for (const key of new Set(answers.map((answer) => answer.key))) {
    const own = answers.filter((answer) => answer.key === key);
    const before = own.filter(({ logLength }) => logLength <= cut && logLength < Infinity);
    await checkNewest(store, key, own, before);
    for (const uploadId of new Set(before.flatMap((answer) => answer.uploadId ?? [])))
      await checkUpload(
        store,
        own.filter((answer) => answer.uploadId === uploadId),
        before,
      );
  }
}

async function checkNewest(store: Questioned, key: string, own: readonly Answer[], before: readonly Answer[]) {
  const promised = Math.max(0, ...before.map((answer) => answer.revision ?? 0));
  const { revision, rows } = await store.newest(key);
  const may = own.filter((answer) => answer.revision !== undefined && answer.revision >= promised);
  const made =
    revision === undefined
      ? may.find((answer) => answer.rows === undefined)
      : may.find((answer) => answer.revision === revision);
  if (made === undefined && (promised > 0 || revision !== undefined))
    throw new Error(`${key} is at revision ${revision ?? 'none'}: ${promised} was promised, and no such one asked for`);
  if (made?.rows === undefined) expect(rows, `${key} is gone`).toBeUndefined();
  else expect(rows, `rows of ${key}`).toEqual(asText(lineRows(0, made.rows, made.factor)));
}

/** An upload that was acked goes on behind all rows that were. */
async function checkUpload(store: Questioned, own: readonly Answer[], before: readonly Answer[]) {
  const [{ key, uploadId, factor }] = own as [Answer & { uploadId: string }];
  const acks = before.filter((answer) => answer.uploadId === uploadId);
  const acked = Math.max(...acks.map((answer) => answer.acked));
  const sent = Math.max(...own.map((answer) => answer.acked));
  const nextRow = await store.goOn(key, uploadId, factor);
  if (nextRow === 'committed') return;
  if (acks.some((answer) => answer.revision !== undefined))
    throw new Error(`${uploadId} of ${key} was committed, and is open`);
  if (nextRow < acked) throw new Error(`${key}: ${nextRow} rows are left of ${acked} that were acked`);
  if (nextRow > sent) throw new Error(`${key}: ${nextRow} rows are there, ${sent} were sent`);
}

/** A store that was opened for this alone: uploads are gone on with to their end. `second`: where results were moved to. */
export function questioned(backend: StorageBackend, second?: StorageBackend): Questioned {
  return {
    async newest(key) {
      const found = await newestIn(backend, key);
      return found.isMoved && second !== undefined ? newestIn(second, key) : found;
    },
    async goOn(key, uploadId, factor) {
      await using upload = await backend.openUpload(uploadSpec(key, uploadId, { problem: undefined }), RUNNING);
      const { committed, nextRow } = upload;
      if (committed !== undefined) return 'committed';
      await upload.append(lineRows(nextRow, 3, factor));
      const manifest = await commit(upload);
      expect(asText(await load(backend, manifest))).toEqual(asText(lineRows(0, nextRow + 3, factor)));
      return nextRow;
    },
  };
}

async function newestIn(backend: StorageBackend, key: string): Promise<Found & { isMoved?: boolean }> {
  try {
    const newest = await backend.stat(key, undefined, RUNNING);
    const rows = newest.kind === RevisionKind.COMMITTED ? asText(await load(backend, newest)) : undefined;
    return { revision: Number(newest.revision), rows, isMoved: newest.kind === RevisionKind.MOVED };
  } catch (error) {
    if (!(error instanceof StorageError) || error.reason !== 'RESULT_NOT_FOUND') throw error;
    return { revision: undefined, rows: undefined };
  }
}
