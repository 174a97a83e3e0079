import { GrpcCode, OptistoreError } from '../typescript/errors.js';
import type { OptistoreClient, ResultWriter } from '../typescript/index.js';
import { HintedError } from './hinted-error.js';
import { InputError } from './input-error.js';
import { counted } from './words.js';

/** Reasons after which an upload is not there any more, or is another one's. */
const LOST = new Set(['UPLOAD_ABORTED', 'UPLOAD_EXPIRED', 'UPLOAD_NOT_FOUND', 'UPLOAD_COMMITTED', 'UPLOAD_TAKEN_OVER']);

/** What a save that is broken off leaves, and how to go on with it; undefined where that is nothing. `baseCount`: rows that the key had before. */
export function keptHint(
  { committed, durableRowCount, uploadId }: ResultWriter,
  baseCount: number,
): string | undefined {
  const count = durableRowCount - baseCount;
  if (committed !== undefined || count <= 0) return undefined;
  return `${counted(count, 'row')} ${count === 1 ? 'is' : 'are'} safe. To go on: the same command with --upload-id ${uploadId}\nTo discard them: \`optistore uploads abort ${uploadId}\``;
}

/** What a save failed with, and what it leaves. An upload that has nothing but what is wrong with its input is given up. */
export async function failedSave(
  client: OptistoreClient,
  writer: ResultWriter,
  baseCount: number,
  error: unknown,
): Promise<unknown> {
  if (isLost(error)) return error;
  const hint = keptHint(writer, baseCount);
  if (hint !== undefined) return new HintedError(error, hint);
  if (error instanceof InputError && writer.committed === undefined)
    await client.abortUpload(writer.uploadId).catch(() => undefined);
  return error;
}

function isLost(error: unknown): boolean {
  if (!(error instanceof OptistoreError)) return false;
  return error.code === GrpcCode.DATA_LOSS || (error.reason !== undefined && LOST.has(error.reason));
}
