import { create } from '@bufbuild/protobuf';
import {
  MigrateResultRequestSchema,
  type MigrateResultRequest,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { backendOf, type StoreRole } from './store-roles.js';

/** What is brought from one store to another: one result, all whose keys begin so, or all. */
export type Migrated = { readonly key: string } | { readonly prefix: string } | { readonly all: true };

/** Between which stores results go. */
export interface MigrationOptions {
  readonly from: StoreRole;
  readonly to: StoreRole;
  /** Copies instead of moving. Default: false. */
  readonly keepSource?: boolean;
}

/** What a client asks for. */
export function migrationRequest(what: Migrated, options: MigrationOptions): MigrateResultRequest {
  const { from, to, keepSource = false } = options;
  return create(MigrateResultRequestSchema, {
    ...what,
    ...{ fromBackend: backendOf(from), toBackend: backendOf(to), keepSource },
  });
}
