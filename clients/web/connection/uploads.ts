import { signal, type ReadonlySignal } from '@preact/signals';
import type { Upload } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { daemon } from './daemon.js';

const kept = signal<ReadonlyMap<string, Upload>>(new Map());

/** Saves in progress, by upload id, as they were told last: about once a second while rows come. */
export const uploads: ReadonlySignal<ReadonlyMap<string, Upload>> = kept;

/** Puts one in the place of what was known of it. */
export function keepUpload(upload: Upload): void {
  kept.value = new Map(kept.peek()).set(upload.uploadId, upload);
}

/** Leaves one out: it is committed or given up. */
export function removeUpload(uploadId: string): void {
  if (!kept.peek().has(uploadId)) return;
  const rest = new Map(kept.peek());
  rest.delete(uploadId);
  kept.value = rest;
}

/** Leaves all of them out. */
export function dropUploads(): void {
  kept.value = new Map();
}

/** So many are shown at most; the daemon may have 10,000. */
const UPLOADS_MAX = 1000;

/** Asks for all of them anew: the stream of events does not tell of one that was aborted, or that expired. */
export async function reconcileUploads(signal: AbortSignal): Promise<void> {
  const { uploads: open } = await daemon.listUploads({ pageSize: UPLOADS_MAX }, { signal });
  kept.value = new Map(open.map((upload) => [upload.uploadId, upload]));
}
