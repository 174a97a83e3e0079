import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Role } from './stores.js';

/** Results on their way, and which stores could not be asked, as far as the list was read. */
export interface ListedResults extends AsyncIterable<Manifest> {
  readonly unreachable: ReadonlySet<Role>;
}
