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
