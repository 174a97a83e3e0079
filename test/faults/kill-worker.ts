import type { OptistoreClient } from '../../clients/typescript/index.js';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { expect } from 'vitest';
import { MIXED } from '../rpc/sample-runs.js';
import { isCutOff } from './cut-off.js';
import {
  failure,
  hasAckedRows,
  Ledger,
  liveRevision,
  resumed,
  rowsOf,
  tell,
  type KeyRecord,
  type UploadRecord,
} from './kill-ledger.js';
import { anyPlace, PIECE_ROWS_MAX, rowCountOf } from './sent-rows.js';
import { SaveSession } from './save-session.js';

const KEYS_EACH = 3;
const UPLOADS_EACH = 3;
/** Appends go no further than this. */
const ROWS_MAX = 80_000;
/** Enough for a block at once: a result that has as many lies in files of its own, in each store of files. */
export const BLOCK_ROWS = 12_000;
/** One row, some rows, or a block. */
const BATCH_ROWS = [1, 1, 40, 40, BLOCK_ROWS];

/** Where a worker works until the daemon is killed. */
export interface Workplace {
  readonly address: string;
  readonly client: OptistoreClient;
  readonly roll: () => number;
  /** Modes that a save may ask for. */
  readonly modes: readonly ReplicationMode[];
  /** The daemon answered something that it must not forget. */
  readonly onAnswer: () => void;
  readonly hasEnded: () => boolean;
}

/** Something that goes on in a daemon until that is killed. */
export type Activity = (place: Workplace) => Promise<void>;

/** Does one thing behind the other until the daemon is killed; fails where one fails for another reason. */
export async function untilKilled(place: Workplace, step: () => Promise<void>): Promise<void> {
  try {
    while (!place.hasEnded()) await step();
  } catch (error) {
    if (!place.hasEnded() || !isCutOff(error)) throw error;
  }
}

/** Saves, appends, changes and deletes results of its own keys, one call at a time, and notes what is answered. */
export class KillWorker {
  readonly ledger: Ledger;
  private uploadCount = 0;

  constructor(private readonly name: string) {
    this.ledger = new Ledger(`${name}/`);
    for (let i = 0; i < KEYS_EACH; i++) this.ledger.addKey(`${name}/${i}`);
  }

  /** Works until the daemon is killed; at some times mostly by deleting. */
  readonly work: Activity = (place) => {
    const deletions = place.roll() < 0.2 ? 0.5 : 0.1;
    return untilKilled(place, () => this.step(place, deletions));
  };

  private async step(place: Workplace, deletions: number): Promise<void> {
    const { roll, client } = place;
    const uploads = [...this.ledger.uploads];
    const upload = uploads[Math.floor(roll() * uploads.length)];
    const key = this.ledger.keys[Math.floor(roll() * KEYS_EACH)] as KeyRecord;
    const action = roll();
    if (upload !== undefined && (action < 0.4 || uploads.length >= UPLOADS_EACH)) {
      if (action < 0.05 || isOutdated(upload)) await this.abort(upload, place);
      else await this.resume(upload, place);
    } else if (action < 0.9 - deletions || key.content === undefined) await this.saveNew(key, place);
    else if (action < 0.9) {
      key.maybe = { content: undefined };
      tell(key, Number(await client.deleteResult(key.key)), undefined);
      place.onAnswer();
    } else {
      const content = { ...key.content, tag: `changed ${roll()}` };
      key.maybe = { content };
      const { revision } = await client.updateResult(key.key, { tags: { tag: content.tag } });
      tell(key, Number(revision), content);
      place.onAnswer();
    }
  }

  private async saveNew(key: KeyRecord, place: Workplace): Promise<void> {
    const { roll } = place;
    const before = key.content?.pieces ?? [];
    const append = key.content !== undefined && rowCountOf(before) < ROWS_MAX && roll() < 0.5;
    const isChecked = append || roll() < 0.3;
    const base = append ? before : [];
    const upload: UploadRecord = {
      ...{ uploadId: `${this.name}-${this.uploadCount++}`, key, tag: `saved ${roll()}`, base },
      piece: { place: anyPlace(roll), rowCount: PIECE_ROWS_MAX },
      basedOn: isChecked ? liveRevision(key) : undefined,
      ...{ ackedRows: rowCountOf(base), sentRows: rowCountOf(base), maybe: undefined },
    };
    this.ledger.uploads.add(upload);
    const session = this.open(upload, place, append);
    expect(resumed(upload, (await session.isOpened()).nextRow)).toBe(rowCountOf(base));
    place.onAnswer();
    await this.stream(upload, session, place);
  }

  private async resume(upload: UploadRecord, place: Workplace): Promise<void> {
    const session = this.open(upload, place, upload.base.length > 0);
    const { nextRow } = await session.isOpened();
    resumed(upload, nextRow);
    place.onAnswer();
    await this.stream(upload, session, place);
  }

  private open(upload: UploadRecord, { address, roll, modes, onAnswer }: Workplace, append: boolean): SaveSession {
    const { uploadId, key, tag, basedOn } = upload;
    const open = {
      ...{ key: key.key, uploadId, problem: MIXED, tags: { tag }, append },
      ...{ replication: modes[Math.floor(roll() * modes.length)] ?? ReplicationMode.UNSPECIFIED },
      ...(basedOn !== undefined && !append && { expectedRevision: BigInt(basedOn) }),
    };
    return new SaveSession(address, open, (rows) => {
      expect(rows, `${uploadId}: acks of what was sent`).toBeLessThanOrEqual(upload.sentRows);
      upload.ackedRows = Math.max(upload.ackedRows, rows);
      onAnswer();
    });
  }

  /** Sends some of the rows, some of them twice; then goes away, or commits. */
  private async stream(upload: UploadRecord, session: SaveSession, place: Workplace): Promise<void> {
    const { roll } = place;
    const first = rowCountOf(upload.base);
    const end = first + upload.piece.rowCount;
    let at = Math.max(first, upload.sentRows - Math.floor(roll() * 30));
    for (let i = Math.floor(roll() * 8); i > 0 && at < end; i--) {
      const rowCount = Math.min(BATCH_ROWS[Math.floor(roll() * BATCH_ROWS.length)] ?? 1, end - at);
      const sent = { place: upload.piece.place + at - first, rowCount };
      upload.sentRows = Math.max(upload.sentRows, at + rowCount);
      session.send(sent, at);
      at += rowCount;
      if (roll() < 0.4) session.flush();
      else continue;
      if (roll() < 0.5) await session.isAcked(at);
    }
    const ending = roll();
    if (ending < 0.5 || upload.sentRows === end) await this.commit(upload, session, place);
    else if (ending < 0.9) await session.end();
    else session.cancel();
  }

  private async commit(upload: UploadRecord, session: SaveSession, place: Workplace): Promise<void> {
    const { key, basedOn, sentRows, uploadId, tag } = upload;
    if (basedOn !== undefined && basedOn !== liveRevision(key)) {
      expect(await failure(session.commit(sentRows)), uploadId).toBe('REVISION_MISMATCH');
      session.cancel();
      return this.abort(upload, place);
    }
    const content = { pieces: rowsOf(upload, sentRows), tag, uploadId };
    upload.maybe = 'committed';
    key.maybe = { content };
    const { result } = await session.commit(sentRows);
    tell(key, Number(result?.revision), content);
    this.ledger.end(upload, 'its commit was answered');
    place.onAnswer();
    await session.end();
  }

  private async abort(upload: UploadRecord, { client, onAnswer }: Workplace): Promise<void> {
    upload.maybe = 'aborted';
    const reason = await failure(client.abortUpload(upload.uploadId));
    if (reason !== 'nothing') expect([reason, hasAckedRows(upload)]).toEqual(['UPLOAD_NOT_FOUND', false]);
    this.ledger.end(upload, `it was aborted: ${reason}, and had ${upload.ackedRows} acked rows`);
    if (hasAckedRows(upload)) this.ledger.aborted.add(upload);
    onAnswer();
  }
}

/** It was forgotten, perhaps, and can't begin anew: its key has another revision now. */
function isOutdated(upload: UploadRecord): boolean {
  return !hasAckedRows(upload) && upload.basedOn !== undefined && upload.basedOn !== liveRevision(upload.key);
}
