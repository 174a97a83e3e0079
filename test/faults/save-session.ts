import type { MessageInitShape } from '@bufbuild/protobuf';
import type { RowBatchSchema } from '../../proto/gen/optistore/v1/rows_pb.js';
import type { SaveCommitted, SaveOpened, SaveOpenSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { RawSave } from '../rpc/wire.js';
import { toSend, type Piece } from './sent-rows.js';

/** A SaveResult stream whose answers are noted as they come, so that none is missed when the daemon is killed. */
export class SaveSession {
  private readonly save: RawSave;
  private readonly reading: Promise<void>;
  private opened: SaveOpened | undefined;
  private committed: SaveCommitted | undefined;
  private ackedRows = 0;
  private ended = false;
  private failure: Error | undefined;
  private wake: () => void = () => undefined;

  constructor(
    private readonly address: string,
    open: MessageInitShape<typeof SaveOpenSchema>,
    private readonly onAck: (rows: number) => void,
  ) {
    this.save = new RawSave(address).send({ case: 'open', value: open });
    this.reading = this.read();
  }

  private async read(): Promise<void> {
    try {
      for (let next = await this.save.next(); next !== undefined; next = await this.save.next()) {
        if (next.case === 'opened') this.opened = next.value;
        if (next.case === 'committed') this.committed = next.value;
        if (next.case === 'ack') {
          this.ackedRows = Number(next.value.durableRowCount);
          this.onAck(this.ackedRows);
        }
        this.wake();
      }
    } catch (error) {
      this.failure = this.save.explain(error);
    }
    this.ended = true;
    this.wake();
  }

  /** Waits until something has come; OptistoreError where the stream ended before. */
  private async until<T>(come: () => T | undefined): Promise<T> {
    for (;;) {
      const value = come();
      if (value !== undefined) return value;
      if (this.ended) throw this.failure ?? new Error(`the stream to ${this.address} ended too soon`);
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  isOpened(): Promise<SaveOpened> {
    return this.until(() => this.opened);
  }

  send(piece: Piece, firstRow: number): void {
    this.sendBatch(toSend(piece, firstRow));
  }

  sendBatch(batch: MessageInitShape<typeof RowBatchSchema>): void {
    this.save.send({ case: 'batch', value: batch });
  }

  flush(): void {
    this.save.send({ case: 'flush', value: {} });
  }

  /** Waits until so many rows are acked. */
  async isAcked(rows: number): Promise<void> {
    await this.until(() => (this.ackedRows >= rows ? true : undefined));
  }

  commit(rowCount: number): Promise<SaveCommitted> {
    this.save.send({ case: 'commit', value: { rowCount: BigInt(rowCount) } });
    return this.until(() => this.committed);
  }

  /** Says that nothing more comes, and waits for the end. */
  async end(): Promise<void> {
    this.save.end();
    await this.reading;
    this.save.cancel();
    if (this.failure !== undefined) throw this.failure;
  }

  /** Goes away without a word. */
  cancel(): void {
    this.save.cancel();
  }
}
