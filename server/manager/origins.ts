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

  /**
   * Says where a manifest came from; gives it back, or a copy where another caller was given the same one and told otherwise: that
   * stays as it is.
   */
  mark(manifest: Manifest, role: Role, isStale = false): Manifest {
    const known = this.known.get(manifest);
    if (known?.role === role && known.isStale === isStale) return manifest;
    const marked = known === undefined ? manifest : { ...manifest };
    this.known.set(marked, { role, isStale });
    return marked;
  }

  /** Where a manifest came from. */
  of(manifest: Manifest): Origin {
    return this.known.get(manifest) ?? PRIMARY;
  }
}
