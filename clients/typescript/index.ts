/** The TypeScript client of optistore. */
export { createClient, OptistoreClient } from './client.js';
export type {
  ClientOptions,
  CopyOptions,
  DaemonClientOptions,
  DeleteOptions,
  ListOptions,
  ResultChanges,
  SaveOptions,
  SetContent,
  SetOptions,
  TransportClientOptions,
  VerifyOptions,
} from './client.js';
export type { AddressedTransport } from './connect-link.js';
export type { ConnectionOptions, DaemonOptions, TlsOptions } from './connection.js';
export type { LoadOptions } from './load-options.js';
export { OptistoreError } from './errors.js';
export type { Migrated, MigrationOptions } from './migration.js';
export { ResultReader, type LoadedBatch, type ReaderEvents } from './reader.js';
export type { StoreRole } from './store-roles.js';
export type { WatchOptions } from './watch.js';
export { ResultWriter, type WriterEvents } from './writer.js';
export { valueAt, type ColumnInput, type LoadedColumn, type SparseNumbers } from '../../server/rows/columns.js';
export { rowNumbersOf, type GivenRows, type GivenSet } from '../../server/rows/row-numbers/given-rows.js';
export * from '../../proto/gen/optistore/v1/problem_pb.js';
export * from '../../proto/gen/optistore/v1/result_pb.js';
