import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { RevisionKind } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ListQuery } from '../../backends/backend.js';
import { isSameRevision } from '../../backends/revisions.js';
import { damagedKeyOf } from '../../errors.js';
import type { ListedResults } from '../listed-results.js';
import type { Origins } from '../origins.js';
import { newestOf } from '../repair/repair-copy.js';
import type { Repairs } from '../repair/repairs.js';
import { isUnavailable, type RoleStore } from '../role-store.js';
import type { Role } from '../stores.js';
import { mergedLists } from './merged-lists.js';

/**
 * The primary's results and, between them in their order, those that only the secondary has: moved there, or lost by the primary. A
 * store that can't be asked, or not to the end, is named; the other's results go on.
 */
export class FallbackList implements ListedResults {
  readonly unreachable = new Set<Role>();
  /** Of those, the ones that are not asked any more. */
  private readonly down = new Set<Role>();

  constructor(
    private readonly primary: RoleStore,
    private readonly secondary: RoleStore,
    private readonly origins: Origins,
    private readonly repairs: Repairs,
    private readonly query: ListQuery,
    private readonly signal: AbortSignal,
  ) {}

  [Symbol.asyncIterator](): AsyncIterator<Manifest> {
    const { query } = this;
    return mergedLists(
      query,
      this.reachable('primary', this.primary),
      this.reachable('secondary', this.secondary),
      (copy) => this.shows(copy),
    );
  }

  private notReached(role: Role): void {
    this.down.add(role);
    this.unreachable.add(role);
  }

  private async *reachable(role: Role, store: RoleStore): AsyncGenerator<Manifest> {
    const listed = store.list(this.query, this.signal);
    try {
      yield* listed;
    } catch (error) {
      // Where neither answers there is nothing to tell.
      if (!isUnavailable(error) || this.down.size > 0) throw error;
      this.notReached(role);
    } finally {
      for (const lacking of listed.unreachable) this.unreachable.add(lacking);
    }
  }

  /** Whether a result that the primary's list has not at this place is one of the list. */
  private async shows(copy: Manifest): Promise<boolean> {
    const isShown = await this.isOnlyThere(copy);
    if (isShown) this.origins.mark(copy, 'secondary', this.down.has('primary'));
    return isShown;
  }

  private async isOnlyThere(copy: Manifest): Promise<boolean> {
    const { key } = copy;
    if (this.down.has('primary')) return true;
    try {
      const newest = await newestOf(this.primary, key, this.signal);
      if (newest === undefined) this.repairs.ask(key, false);
      // Where it is the same revision, it was put back behind the place where the primary's list was: that does not tell of it.
      return newest === undefined || newest.kind === RevisionKind.MOVED || isSameRevision(newest, copy);
    } catch (error) {
      // What the primary can't tell of, the secondary shows.
      if (damagedKeyOf(error) !== undefined) return true;
      if (!isUnavailable(error)) throw error;
      this.notReached('primary');
      return true;
    }
  }
}
