import { create } from '@bufbuild/protobuf';
import { LoadResultRequestSchema, type LoadResultRequest } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { ReaderEvents } from './reader.js';
import { backendOf, type StoreRole } from './store-roles.js';

/** What to load. */
export interface LoadOptions extends ReaderEvents {
  /** Names, in the order wanted. Default: all. */
  readonly columns?: readonly string[];
  /** From the first, to before the second. Default: all. */
  readonly rows?: readonly [first: number, end?: number];
  readonly revision?: bigint;
  /** Default: 1 MiB, or, where rows are read from the daemon's files, as they are stored: 1 to 16 MiB. */
  readonly maxBatchBytes?: number;
  /** Only the rows of this set; `rows` then counts positions in it. */
  readonly resultSet?: string;
  /**
   * A sample of at most so many rows, where the result has more: front, improvements and extremes, and the rest evenly spread; the
   * header's `sample` tells. 1,000 to 1,000,000; `rows` then counts positions in it. Not with `resultSet` and `follow`. Default: all rows.
   */
  readonly sampleRows?: number;
  /**
   * Tails a save in progress: rows as they are acked, until its commit. With `columns`, `maxBatchBytes` and the first of
   * `rows`; not with `revision`, `resultSet`, `sampleRows` and `from`.
   */
  readonly follow?: boolean;
  /** With `follow`: which save. Default: the one of the key that was opened last. */
  readonly uploadId?: string;
  /** Only from this store. Default: whichever can serve it, the cache first. */
  readonly from?: StoreRole;
  /**
   * Rows are read from the daemon's files where that can be: at a Unix socket, and where the store has such files. Arrays of a
   * batch are then views of one piece of memory, without a copy. All else is streamed. Default: at a Unix socket.
   */
  readonly localFiles?: boolean;
}

/** The request of a load from a daemon at an address. RangeError for a result set without a name. */
export function loadRequest(key: string, options: LoadOptions, address: string): LoadResultRequest {
  const [first, end] = options.rows ?? [];
  return create(LoadResultRequestSchema, {
    key,
    columns: [...(options.columns ?? [])],
    maxBatchBytes: options.maxBatchBytes ?? 0,
    backend: backendOf(options.from),
    localFiles: options.localFiles ?? address.startsWith('unix:'),
    ...(first !== undefined && { firstRow: BigInt(first) }),
    ...(end !== undefined && { rowCount: BigInt(Math.max(end - (first ?? 0), 0)) }),
    ...(options.revision !== undefined && { revision: options.revision }),
    ...(options.resultSet !== undefined && { resultSet: checkSetName(options.resultSet) }),
    ...(options.sampleRows !== undefined && { sampleRows: options.sampleRows }),
    ...(options.follow !== undefined && { follow: options.follow }),
    ...(options.uploadId !== undefined && { uploadId: options.uploadId }),
  });
}

/** An empty name would be no set at all, and load every row. */
function checkSetName(name: string): string {
  if (name === '') throw new RangeError('a result set has a name; leave resultSet out to load all rows');
  return name;
}
