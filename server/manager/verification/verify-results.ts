import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { StorageBackend } from '../../backends/backend.js';
import { damagedKeyOf, damageOf, throwIfCancelled, toStorageError } from '../../errors.js';
import { newestOf } from '../repair/repair-copy.js';
import { storeOf, type Stores } from '../stores.js';
import type { CheckedCopy, CopyRole, CopyState } from './checked-copy.js';
import { heldInstead, lackingInPrimary, lackingInSecondary } from './checked-copy.js';
import { healCopy } from './heal-copy.js';
import type { Pace } from './pace.js';
import { UNHURRIED } from './pace.js';
import { verifyCopy, type ReadCopy } from './verify-copy.js';
import { deletedKeysOf, keysOf, mergedKeys } from './walk-keys.js';

/** What is verified. */
export interface VerifySpec {
  /** Keys that begin so. */
  readonly prefix: string;
  /** Only this store's copies. Undefined: those of both. */
  readonly role: CopyRole | undefined;
  /** Whether what is corrupt or missing is replaced by the other store's copy. */
  readonly repair: boolean;
  /**
   * Nobody asked for this repair, nor reads what it tells: an entry of the primary that does not check stays, as it may have been a
   * newer revision than the secondary's, or a deletion. Default: false.
   */
  readonly isUnattended?: boolean;
}

/**
 * Reads the results of both stores again and checks every byte, in order of key; at last, which markers of deletions lack. Tells of each copy
 * that was read or is missing, good or not. What is changed or deleted meanwhile is checked as it is then, or left out. A store
 * that can't be reached is an error. NO_SECONDARY where that is asked for and there is none.
 */
export async function* verifyResults(
  stores: Stores,
  spec: VerifySpec,
  signal: AbortSignal,
  pace: Pace = UNHURRIED,
): AsyncGenerator<CheckedCopy> {
  if (spec.role !== undefined) storeOf(stores, spec.role);
  const verification = new Verification(stores, spec, pace, signal);
  for await (const key of verification.keys()) {
    throwIfCancelled(signal);
    yield* verification.copiesOf(key);
  }
}

/** How many results the stores hold that are verified. NO_SECONDARY. */
export async function countCopies(stores: Stores, role: CopyRole | undefined, signal: AbortSignal): Promise<number> {
  const both = stores.secondary === undefined ? [stores.primary] : [stores.primary, stores.secondary];
  const counted = role === undefined ? both : [storeOf(stores, role)];
  let count = 0;
  for (const store of counted) count += (await store.stats(signal)).resultCount;
  return count;
}

/** What a store has of a key. */
interface Found {
  readonly manifest: Manifest | undefined;
  /** Its entry does not check: why. */
  readonly damage?: string;
}

/** What both stores have of a key. */
type FoundInBoth = Readonly<Record<CopyRole, Found>>;

class Verification {
  private readonly roles: readonly CopyRole[];

  constructor(
    private readonly stores: Stores,
    private readonly spec: VerifySpec,
    private readonly pace: Pace,
    private readonly signal: AbortSignal,
  ) {
    const all: readonly CopyRole[] = stores.secondary === undefined ? ['primary'] : ['primary', 'secondary'];
    this.roles = spec.role === undefined ? all : [spec.role];
  }

  /** Keys of results in order, then those of which only markers may lack. */
  async *keys(): AsyncGenerator<string> {
    const { stores, signal } = this;
    const { prefix } = this.spec;
    const { primary, secondary } = stores;
    if (secondary === undefined) {
      yield* keysOf(primary, prefix, signal);
      return;
    }
    yield* mergedKeys(keysOf(primary, prefix, signal), keysOf(secondary, prefix, signal));
    for (const [role, of, beside] of [
      ['secondary', primary, secondary],
      ['primary', secondary, primary],
    ] as const) {
      if (!this.roles.includes(role)) continue;
      for await (const key of deletedKeysOf(of, prefix, signal))
        // A result there was looked at before.
        if ((await this.found(beside, key)).manifest?.kind !== RevisionKind.COMMITTED) yield key;
    }
  }

  /** The copies of a key, healed where that is asked for. */
  async *copiesOf(key: string): AsyncGenerator<CheckedCopy> {
    const found = await this.look(key);
    const copies = new Map<CopyRole, CheckedCopy>();
    for (const role of this.roles) {
      const copy = await this.check(role, key, found);
      if (copy !== undefined) copies.set(role, copy);
    }
    for (const [role, copy] of copies) {
      const isHealed = this.spec.repair && copy.state !== 'ok' && this.mayReplace(role, found);
      const other = copies.get(role === 'primary' ? 'secondary' : 'primary');
      const told = isHealed ? await healCopy(this.stores, copy, other, this.pace, this.signal) : copy;
      if (told !== undefined) yield told;
    }
  }

  private mayReplace(role: CopyRole, found: FoundInBoth): boolean {
    return found[role].damage === undefined || role === 'secondary' || this.spec.isUnattended !== true;
  }

  private async look(key: string): Promise<FoundInBoth> {
    const { primary, secondary } = this.stores;
    // In this order: what the primary calls replicated is in the secondary by then.
    const inPrimary = await this.found(primary, key);
    if (secondary === undefined) return { primary: inPrimary, secondary: { manifest: undefined } };
    const inSecondary = await this.found(secondary, key);
    // And once more: what the secondary has was in the primary before.
    const isUnknown = inPrimary.manifest === undefined && inPrimary.damage === undefined;
    return { primary: isUnknown ? await this.found(primary, key) : inPrimary, secondary: inSecondary };
  }

  private async found(store: StorageBackend, key: string): Promise<Found> {
    try {
      return { manifest: await newestOf(store, key, this.signal) };
    } catch (error) {
      if (damagedKeyOf(error) === undefined) throw error;
      return { manifest: undefined, damage: damageOf(key, toStorageError(error).cause) };
    }
  }

  /** What a store's copy is; undefined where it has none and needs none. */
  private async check(role: CopyRole, key: string, found: FoundInBoth): Promise<CheckedCopy | undefined> {
    const { manifest, damage } = found[role];
    const copy = (state: CopyState, revision: bigint, message = '', byteLength = 0) => ({
      ...{ key, role, state, revision, message, byteLength },
    });
    if (damage !== undefined) return copy('corrupt', 0n, damage);
    const isResult = manifest?.kind === RevisionKind.COMMITTED;
    const read = isResult ? await this.read(storeOf(this.stores, role), manifest) : undefined;
    if (isResult && read === undefined) return undefined;
    const byteLength = read?.byteLength ?? 0;
    if (isResult && read?.fault !== undefined)
      return copy('corrupt', manifest.revision, asSentence(read.fault), byteLength);
    const lacking = this.lacking(role, found);
    if (lacking !== undefined)
      return copy('missing', lacking.revision, missingMessage(role, lacking, manifest), byteLength);
    return isResult ? copy('ok', manifest.revision, '', byteLength) : undefined;
  }

  private lacking(role: CopyRole, { primary, secondary }: FoundInBoth): Manifest | undefined {
    if (primary.damage !== undefined || secondary.damage !== undefined) return undefined;
    const lackingIn = role === 'primary' ? lackingInPrimary : lackingInSecondary;
    return lackingIn(primary.manifest, secondary.manifest);
  }

  /** Undefined: superseded or deleted since it was looked up, and its rows removed. There is no such copy any more. */
  private async read(store: StorageBackend, manifest: Manifest): Promise<ReadCopy | undefined> {
    try {
      return await verifyCopy(store, manifest, this.pace, this.signal);
    } catch (error) {
      const { reason } = toStorageError(error);
      if (reason !== 'REVISION_NOT_FOUND' && reason !== 'RESULT_NOT_FOUND') throw error;
      const { manifest: newest } = await this.found(store, manifest.key);
      return newest?.revision === manifest.revision ? { fault: 'its rows are gone', byteLength: 0 } : undefined;
    }
  }
}

function missingMessage(role: CopyRole, lacking: Manifest, held: Manifest | undefined): string {
  const what = lacking.kind === RevisionKind.DELETED ? 'The marker of its deletion' : `Revision ${lacking.revision}`;
  const why = role === 'primary' ? 'which the secondary has' : 'which was replicated';
  if (held?.revision === lacking.revision)
    return `${what}, ${why}, is not in the ${role}: it has another revision of that number. They were changed without each other.`;
  return `${what}, ${why}, is not in the ${role}: it has ${heldInstead(held)}.`;
}

function asSentence(fault: string): string {
  return `${fault.charAt(0).toUpperCase()}${fault.slice(1)}${fault.endsWith('.') ? '' : '.'}`;
}
