import { create } from '@bufbuild/protobuf';
import {
  CallerSchema,
  Scope as ScopeOnWire,
  type Caller as CallerOnWire,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';

/** What a token allows; each allows what stands before it as well. */
export const SCOPES = ['read', 'write', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who calls, by the token of the call. */
export interface Caller {
  /** The token's name; results have it as `created_by`. */
  readonly name: string;
  readonly scope: Scope;
  /** Keys that begin with this. Empty: all. Else it ends with `/`. */
  readonly prefix: string;
}

/** Whether a caller's scope has another in it. */
export function hasScope(caller: Caller, needed: Scope): boolean {
  return SCOPES.indexOf(caller.scope) >= SCOPES.indexOf(needed);
}

/** A caller as errors name it. */
export function described({ name, scope, prefix }: Caller): string {
  return `the token "${name}" has the scope ${scope}${prefix === '' ? '' : ` for keys under "${prefix}"`}`;
}

const SCOPE_ON_WIRE: Readonly<Record<Scope, ScopeOnWire>> = {
  read: ScopeOnWire.READ,
  write: ScopeOnWire.WRITE,
  admin: ScopeOnWire.ADMIN,
};

/** A caller as they are told of themselves. */
export function toCaller({ name, scope, prefix }: Caller): CallerOnWire {
  return create(CallerSchema, { name, scope: SCOPE_ON_WIRE[scope], prefix });
}
