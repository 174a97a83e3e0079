import { computed, signal, type ReadonlySignal } from '@preact/signals';
import { Backend } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Scope, type GetStatusResponse } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { daemon } from './daemon.js';

const told = signal<GetStatusResponse | undefined>(undefined);

/** How the daemon was when it was asked last; undefined until it has answered. */
export const status: ReadonlySignal<GetStatusResponse | undefined> = told;

/** Whether there is a store beside the primary. */
export const hasSecondary: ReadonlySignal<boolean> = computed(
  () => told.value?.backends.some(({ role }) => role === Backend.SECONDARY) ?? false,
);

const ANSWER_MS_MAX = 10_000;

/** Asks the daemon how it is. */
export async function refreshStatus(signal?: AbortSignal): Promise<void> {
  const options = { timeoutMs: ANSWER_MS_MAX, ...(signal !== undefined && { signal }) };
  told.value = await daemon.getStatus({}, options);
}

/** Forgets whose token it was. */
export function forgetStatus(): void {
  told.value = undefined;
}

const ALLOWS: Readonly<Record<Scope, string>> = {
  [Scope.UNSPECIFIED]: 'nothing',
  [Scope.READ]: 'reading',
  [Scope.WRITE]: 'reading and writing',
  [Scope.ADMIN]: 'everything',
};
const NAMES: Readonly<Record<Scope, string>> = {
  [Scope.UNSPECIFIED]: 'none',
  [Scope.READ]: 'read',
  [Scope.WRITE]: 'write',
  [Scope.ADMIN]: 'admin',
};

/** The name of a scope, as `optistore token create --scope` takes it. */
export function scopeName(scope: Scope): string {
  return NAMES[scope];
}

/** Why the token does not allow what needs a scope, undefined where it does; of a key, or of all keys that begin with it. */
export function whyNot(scope: Scope, key?: string): string | undefined {
  const caller = told.value?.caller;
  if (caller === undefined) return undefined;
  const { name, prefix } = caller;
  if (caller.scope < scope)
    return `The token "${name}" allows ${ALLOWS[caller.scope]}; this needs one of the scope ${NAMES[scope]}.`;
  if (key !== undefined && !key.startsWith(prefix))
    return `The token "${name}" is for keys that begin with ${prefix} alone.`;
  return undefined;
}

/** Why what needs a secondary can't be done, undefined where it can. */
export function whyNotSecondary(): string | undefined {
  if (told.value === undefined || hasSecondary.value) return undefined;
  return 'There is no secondary: docs/replication.md says how one is configured.';
}
