import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';

/** A store, by its place in the daemon. */
export type StoreRole = 'primary' | 'secondary' | 'cache';

const BACKEND_OF = { primary: Backend.PRIMARY, secondary: Backend.SECONDARY, cache: Backend.CACHE } as const;

/** What the wire calls a store; UNSPECIFIED where none is named. */
export function backendOf(role: StoreRole | undefined): Backend {
  return role === undefined ? Backend.UNSPECIFIED : BACKEND_OF[role];
}
