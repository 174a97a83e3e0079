/** optistore in process: the manager and its stores, without a daemon. */
export { createStorageManager, StorageManager } from './manager/storage-manager.js';
export type { ManagerConfig } from './manager/compose.js';
export type { Role } from './manager/stores.js';
export type {
  ListOptions,
  LoadedResult,
  LoadOptions,
  MigrateOptions,
  NewResult,
  SaveOptions,
} from './manager/whole-results.js';
export type { CacheStats } from './manager/cache/result-cache.js';
export { StorageError, type Reason } from './errors.js';
export { rowNumbersOf, type GivenRows, type GivenSet } from './rows/row-numbers/given-rows.js';
export type { Batch, Column } from './rows/batch.js';
export { valueAt, type ColumnInput, type LoadedColumn, type SparseNumbers } from './rows/columns.js';
export { Direction, ProblemSchema, ValueType, VariableRole } from '../proto/gen/optistore/v1/problem_pb.js';
export {
  Outcome,
  ResultSchema,
  SetOperation,
  type Result,
  type ResultSet,
} from '../proto/gen/optistore/v1/result_pb.js';
