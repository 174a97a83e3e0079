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
  readonly maxBatchBytes?: number;
  /** Only the rows of this set; `rows` then counts positions in it. */
  readonly resultSet?: string;
  /**
   * Tails a save in progress: rows as they are acked, until its commit. With `columns`, `maxBatchBytes` and the first of
   * `rows`; not with `revision`, `resultSet` and `from`.
   */
  readonly follow?: boolean;
  /** With `follow`: which save. Default: the one of the key that was opened last. */
  readonly uploadId?: string;
  /** Only from this store. Default: whichever can serve it, the cache first. */
  readonly from?: StoreRole;
}

/** The request of a load. RangeError for a result set without a name. */
export function loadRequest(key: string, options: LoadOptions): LoadResultRequest {
  const [first, end] = options.rows ?? [];
  return create(LoadResultRequestSchema, {
    key,
    columns: [...(options.columns ?? [])],
    maxBatchBytes: options.maxBatchBytes ?? 0,
    backend: backendOf(options.from),
    ...(first !== undefined && { firstRow: BigInt(first) }),
    ...(end !== undefined && { rowCount: BigInt(Math.max(end - (first ?? 0), 0)) }),
    ...(options.revision !== undefined && { revision: options.revision }),
    ...(options.resultSet !== undefined && { resultSet: checkSetName(options.resultSet) }),
    ...(options.follow !== undefined && { follow: options.follow }),
    ...(options.uploadId !== undefined && { uploadId: options.uploadId }),
  });
}

/** An empty name would be no set at all, and load every row. */
function checkSetName(name: string): string {
  if (name === '') throw new RangeError('a result set has a name; leave resultSet out to load all rows');
  return name;
}
