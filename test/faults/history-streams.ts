import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, OptistoreError, type OptistoreClient } from '../../clients/typescript/index.js';
import type { WatchResultsResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Told } from './history-checker.js';
import { isCutOff } from './cut-off.js';
import { failure } from './kill-ledger.js';
import { foundIn, nextWriter, PROBLEM, type Scene } from './history-clients.js';
import { rowsOfSave, writersOf } from './history-recorder.js';
import { SaveSession } from './save-session.js';

const BATCH_ROWS = 20;
const PAUSE_MS = 2;
const BATCHES_MAX = 300;

/** An upload that is in progress for a while, over kills, and has acked rows. */
interface Live {
  readonly uploadId: string;
  readonly key: string;
  readonly writer: number;
}

/** Saves that take long, one behind the other, and those who follow them. */
export class FollowedSaves {
  private live: Live | undefined;
  private readonly client: OptistoreClient;

  constructor(
    private readonly scene: Scene,
    private readonly roll: () => number,
  ) {
    this.client = createClient({ address: scene.address });
  }

  /** Writes, and follows twice, until the scene has ended. */
  async work(): Promise<void> {
    await Promise.all([this.write(), this.follow(), this.follow()]);
    this.client.close();
  }

  private async write(): Promise<void> {
    while (!this.scene.hasEnded()) {
      const writer = nextWriter();
      const save = { uploadId: `followed-${writer}`, key: `followed/${writer}`, writer };
      const rowCount = BATCH_ROWS * (1 + Math.floor(this.roll() * BATCHES_MAX));
      // Also behind the end: those who follow it come to theirs.
      for (let isDone = false; !isDone;) {
        await this.scene.serves();
        try {
          isDone = await this.writeOn(save, rowCount);
        } catch (error) {
          if (!isCutOff(error)) throw error;
        }
      }
      this.live = undefined;
    }
  }

  private async writeOn(save: Live, rowCount: number): Promise<boolean> {
    const { scene } = this;
    const { uploadId, key, writer } = save;
    const begin = scene.recorder.now();
    const session = new SaveSession(scene.address, { key, uploadId, problem: PROBLEM }, () => (this.live = save));
    try {
      const { nextRow, committed } = await session.isOpened();
      scene.recorder.durable.push({ uploadId, begin, rowCount: Number(nextRow) });
      if (committed !== undefined) return true;
      for (let at = Number(nextRow); at < rowCount && !scene.hasEnded(); at += BATCH_ROWS) {
        session.sendBatch(rowsOfSave(writer, at, Math.min(BATCH_ROWS, rowCount - at)));
        if (this.roll() < 0.1) session.flush();
        await sleep(PAUSE_MS);
      }
      if (scene.hasEnded()) {
        await session.end();
        const reason = await failure(this.client.abortUpload(uploadId));
        if (reason !== 'nothing' && reason !== 'UPLOAD_NOT_FOUND') throw new Error(`the abort failed: ${reason}`);
        return true;
      }
      const committing = scene.recorder.now();
      const { result } = await session.commit(rowCount);
      scene.recorder.durable.push({ uploadId, begin: committing, rowCount: Number(result?.rowCount) });
      return true;
    } finally {
      session.cancel();
    }
  }

  /** Follows what is written, from its beginning or from somewhere. */
  private async follow(): Promise<void> {
    while (!this.scene.hasEnded()) {
      const { live } = this;
      if (live === undefined) await sleep(5);
      else await this.followOne(live);
    }
  }

  private async followOne({ uploadId, key, writer }: Live): Promise<void> {
    const { recorder } = this.scene;
    const first = this.roll() < 0.7 ? 0 : BATCH_ROWS;
    let rowCount = first;
    const reader = this.client.load(key, { follow: true, uploadId, rows: [first] });
    try {
      for await (const batch of reader) {
        if (batch.firstRow !== rowCount) throw new Error(`${uploadId}: row ${batch.firstRow} came behind ${rowCount}`);
        const writers = writersOf(batch.columns, batch.firstRow);
        if (writers.join() !== String(writer)) throw new Error(`${uploadId}: rows of ${writers.join()}`);
        rowCount += batch.rowCount;
        recorder.followed.push({ uploadId, at: recorder.now(), rowCount });
      }
      // What it was committed as is what was followed.
      recorder.durable.push({ uploadId, begin: recorder.now(), rowCount: Number(reader.committed?.rowCount) });
      if (rowCount !== Number(reader.committed?.rowCount))
        throw new Error(`${uploadId}: ${rowCount} rows were followed of ${reader.committed?.rowCount}`);
    } catch (error) {
      // Before its header came, a load is not made again by the client.
      if (isCutOff(error)) return this.scene.serves();
      const reason = error instanceof OptistoreError ? error.reason : 'none';
      if (reason !== 'UPLOAD_ABORTED' && reason !== 'ROW_RANGE_INVALID') throw error;
    }
  }
}

type Change = Exclude<WatchResultsResponse['event'], { case: undefined } | { case: 'upload' }>;

/** Is told of all changes, and goes on over kills. */
export class Watcher {
  private readonly client: OptistoreClient;
  private readonly told: Told[] = [];
  private readonly watching: AsyncGenerator<WatchResultsResponse, void>;

  constructor(
    private readonly name: string,
    private readonly scene: Scene,
  ) {
    this.client = createClient({ address: scene.address });
    this.watching = this.client.watch({ prefix: scene.prefix, afterEvent: 0n });
    scene.recorder.told.set(name, this.told);
  }

  /** Listens until it is told of the last change, before which all others are told. */
  async listen(): Promise<void> {
    for await (const { event, eventNumber } of this.watching) {
      if (event.case === undefined || event.case === 'upload') continue;
      if (event.value.key === lastKey(this.scene.prefix)) break;
      this.note(event, eventNumber);
    }
    this.client.close();
  }

  private note(event: Change, eventNumber: bigint): void {
    const { key } = event.value;
    const revision = Number(event.value.revision);
    this.told.push({ eventNumber, key, revision });
    const answer =
      event.case === 'deleted' ? ({ is: 'found', revision, content: undefined } as const) : foundIn(event.value);
    this.scene.recorder.hears(this.name, key, answer);
  }
}

/** The key that is changed last of all. */
export function lastKey(prefix: string): string {
  return `${prefix}last`;
}
