import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ListPosition, ListQuery } from '../backends/backend.js';
import { damagedKeyOf, StorageError } from '../errors.js';
import type { ListedResults } from './listed-results.js';
import type { Role } from './stores.js';

/**
 * A store's list that goes on behind entries which do not check, so that one of them hides no other result. The store is
 * named then: something lacks.
 */
export class ListPastDamage implements ListedResults {
  readonly unreachable = new Set<Role>();

  constructor(
    private readonly role: Role,
    private readonly list: (query: ListQuery) => AsyncIterable<Manifest>,
    private readonly query: ListQuery,
  ) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Manifest> {
    let { query } = this;
    for (;;) {
      try {
        yield* this.list(query);
        return;
      } catch (error) {
        const after = placeOfDamage(query, error);
        if (after === undefined) throw error;
        this.unreachable.add(this.role);
        query = { ...query, after };
      }
    }
  }
}

/** Where a list can be gone on with; undefined where it failed by something else, or does not say where. */
function placeOfDamage({ orderBy, after }: ListQuery, error: unknown): ListPosition | undefined {
  const key = damagedKeyOf(error);
  const time = orderBy === 'key' ? '0' : error instanceof StorageError ? error.metadata['damaged_time'] : undefined;
  if (key === undefined || time === undefined) return undefined;
  const place = { key, time: BigInt(time) };
  return after?.key === key && after.time === place.time ? undefined : place;
}
