import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { MANIFEST_COLUMNS, checkedManifest, manifestOfRow, type ManifestRow } from './result-rows.js';
import { rowCrc } from './row-crc.js';

/** A row of a revision that is kept for a while. */
export interface RevisionRow extends ManifestRow {
  readonly superseded_ms: number | string;
}

/** The columns of a RevisionRow. */
export const REVISION_COLUMNS = [...MANIFEST_COLUMNS, 'superseded_ms'] as const;

/** The checksum of a row: with the time from which on it is kept for a while. */
export function revisionCrc({ key, revision, manifest, superseded_ms }: Omit<RevisionRow, 'crc'>): number {
  return rowCrc([key, revision, manifest, superseded_ms]);
}

/** A revision as it is kept since it was superseded. */
export function revisionRow(superseded: Manifest, superseded_ms: number) {
  const row = { ...checkedManifest(superseded), superseded_ms };
  return { ...row, crc: revisionCrc(row) };
}

/** What revisionRow kept. RESULT_CORRUPT. */
export function manifestOfRevision(row: RevisionRow): Manifest {
  return manifestOfRow(row, { crc: revisionCrc(row) });
}
