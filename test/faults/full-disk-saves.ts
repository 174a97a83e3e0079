import { expect } from 'vitest';
import { OptistoreError } from '../../clients/typescript/index.js';
import type { Channel } from '../../clients/typescript/channel.js';
import { GrpcCode } from '../../server/errors.js';
import { schemaOf } from '../../server/rows/batch.js';
import { checkBatch } from '../../server/rows/check.js';
import { rawLoad } from '../rpc/raw-load.js';
import { MIXED } from '../rpc/sample-runs.js';
import { SaveSession } from './save-session.js';
import { anyPlace, expectRows, rowCountOf, type Piece } from './sent-rows.js';

const SCHEMA = schemaOf(MIXED.variables);
/** Rows of a batch: a few, which wait in a journal, or enough for a block at once. */
const BATCH_ROWS = [40, 2000, 12_000, 30_000];

/** A run that is saved to its end, however often the disk is full meanwhile. */
export class SavedRun {
  readonly pieces: Piece[];
  private acked = 0;
  isCommitted = false;

  constructor(
    readonly key: string,
    pieceCount: number,
    roll: () => number,
  ) {
    const rowCount = BATCH_ROWS[Math.floor(roll() * BATCH_ROWS.length)] ?? 1;
    this.pieces = Array.from({ length: pieceCount }, () => ({ place: anyPlace(roll), rowCount }));
  }

  get rowCount(): number {
    return rowCountOf(this.pieces);
  }

  /** Saves what the daemon does not have yet, and commits; gives the error where it does not get so far. */
  async goOn(address: string): Promise<OptistoreError | undefined> {
    const { key } = this;
    const onAck = (rows: number) => (this.acked = Math.max(this.acked, rows));
    const session = new SaveSession(address, { key, uploadId: `of.${key}`, problem: MIXED }, onAck);
    try {
      const { nextRow, committed } = await session.isOpened();
      expect(Number(nextRow), `${key}: what was acked is there`).toBeGreaterThanOrEqual(this.acked);
      if (committed === undefined) await this.sendFrom(Number(nextRow), session);
      await session.commit(this.rowCount);
      this.isCommitted = true;
      await session.end();
      return undefined;
    } catch (error) {
      session.cancel();
      if (error instanceof OptistoreError) return error;
      throw error;
    }
  }

  private async sendFrom(nextRow: number, session: SaveSession): Promise<void> {
    let firstRow = 0;
    for (const piece of this.pieces) {
      if (firstRow + piece.rowCount > nextRow) {
        session.send(piece, firstRow);
        session.flush();
        await session.isAcked(firstRow + piece.rowCount);
      }
      firstRow += piece.rowCount;
    }
  }

  /** Fails unless the result is what was sent; gives its rows. */
  async check(channel: Channel): Promise<number> {
    const load = await rawLoad(channel, { key: this.key });
    const rows = load.batches.map((batch) => checkBatch(SCHEMA, batch));
    expectRows(this.key, rows, this.pieces);
    return this.rowCount;
  }
}

/** Fails unless an error says that the disk is full, how much is there and, where it is known, how much is wanted, and what to do. */
export function expectDiskFull(error: OptistoreError | undefined): void {
  expect(error).toMatchObject({ reason: 'DISK_FULL', code: GrpcCode.RESOURCE_EXHAUSTED });
  const { message = '', metadata = {} } = error ?? {};
  expect(message).toMatch(/delete results or free room on the disk, then (resume the upload|try again)/);
  expect(message).not.toContain(' 0 bytes are wanted');
  for (const fact of ['free_bytes', 'reserved_bytes', ...('wanted_bytes' in metadata ? ['wanted_bytes'] : [])])
    expect(message, fact).toContain(` ${metadata[fact] ?? 'no such fact'} `);
}
