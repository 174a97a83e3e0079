import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Role } from './stores.js';

/** Where a manifest came from. */
export interface Origin {
  /** The store that gave it: where its rows lie, only that store can tell. */
  readonly role: Role;
  /** The primary could not be asked, and may have something newer. */
  readonly isStale: boolean;
}

const PRIMARY: Origin = { role: 'primary', isStale: false };

/** Remembers of manifests which store gave them; of those that nobody marked, it was the primary. */
export class Origins {
  private readonly known = new WeakMap<Manifest, Origin>();

  /** Says where a manifest came from; gives it back. */
  mark(manifest: Manifest, role: Role, isStale = false): Manifest {
    this.known.set(manifest, { role, isStale });
    return manifest;
  }

  /** Where a manifest came from. */
  of(manifest: Manifest): Origin {
    return this.known.get(manifest) ?? PRIMARY;
  }
}
