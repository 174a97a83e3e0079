import type { LoadedBatch, ResultReader } from '../../typescript/index.js';
import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';

/** A load whose header is there. */
export interface BegunLoad {
  readonly header: LoadHeader;
  /** To be read once; the next batch is on its way while one is written. */
  readonly batches: AsyncIterable<LoadedBatch>;
}

/** Begins a load. `isLive`: the header is not to wait for the first rows, which may be long in coming. */
export async function beginLoad(reader: ResultReader, isLive: boolean): Promise<BegunLoad> {
  const iterator = reader[Symbol.asyncIterator]();
  let next = iterator.next();
  next.catch(() => undefined);
  if (!isLive) await next;
  const header = await reader.header();
  async function* batches(): AsyncGenerator<LoadedBatch, void> {
    try {
      for (let batch = await next; batch.done !== true; batch = await next) {
        next = iterator.next();
        next.catch(() => undefined);
        yield batch.value;
      }
    } finally {
      await iterator.return(undefined);
    }
  }
  return { header, batches: batches() };
}
