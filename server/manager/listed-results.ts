import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Role } from './stores.js';

/** Results on their way, and which stores could not be asked, as far as the list was read. */
export interface ListedResults extends AsyncIterable<Manifest> {
  readonly unreachable: ReadonlySet<Role>;
}

/** A list of a store alone: it fails where the store can't be asked. */
export function listedByOne(results: AsyncIterable<Manifest>): ListedResults {
  return { unreachable: new Set(), [Symbol.asyncIterator]: () => results[Symbol.asyncIterator]() };
}
