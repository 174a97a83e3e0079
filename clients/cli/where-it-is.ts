import type { Upload } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Backend, OptistoreError, type OptistoreClient, type StoreRole } from '../typescript/index.js';
import { HintedError } from './hinted-error.js';
import { counted } from './words.js';

/** How a result was asked for. */
export interface Asked {
  readonly command: 'export' | 'load' | 'plot' | 'show';
  /** As a save in progress. */
  readonly follow?: boolean;
  readonly from?: StoreRole | undefined;
}

/** Of a key that has not what was asked for, but something else: what that is, and the command for it. Any other error is given back as it is. */
export async function whereItIs(client: OptistoreClient, key: string, asked: Asked, error: unknown): Promise<unknown> {
  if (!(error instanceof OptistoreError)) return error;
  try {
    if (error.reason === 'UPLOAD_NOT_FOUND' && asked.follow) return await committedOne(client, key, asked, error);
    if (error.reason === 'RESULT_NOT_FOUND' && !asked.follow) return await elsewhere(client, key, asked, error);
  } catch {
    // What was to explain it failed as well: nothing more is known.
  }
  return error;
}

async function committedOne(client: OptistoreClient, key: string, { command }: Asked, error: OptistoreError) {
  const { rowCount, revision } = await client.getResult(key);
  return told(
    error,
    `Nothing is being saved under "${key}". It is committed, with ${counted(rowCount, 'row')}, revision ${revision}.`,
    `It is had without --follow: \`optistore ${command} ${quoted(key)}\``,
  );
}

async function elsewhere(client: OptistoreClient, key: string, { command, from }: Asked, error: OptistoreError) {
  // A store that was asked for alone may lack what another one has.
  const stored = from === undefined ? undefined : await client.getResult(key).catch(() => undefined);
  if (stored !== undefined) {
    const stores = stored.placements.map(({ backend }) => `the ${Backend[backend].toLowerCase()}`).join(' and ');
    return told(
      error,
      `"${key}" is not in the ${from}; it is in ${stores}.`,
      `It is taken from there without --from: \`optistore ${command} ${quoted(key)}\``,
    );
  }
  const saving = await uploadTo(client, key);
  if (saving === undefined) return error;
  return told(
    error,
    `"${key}" is being saved for the first time, and not committed yet: ${counted(saving.durableRowCount, 'row')} so far.`,
    `Read along: \`optistore ${command === 'plot' ? 'plot' : 'load'} ${quoted(key)} --follow\``,
  );
}

async function uploadTo(client: OptistoreClient, key: string): Promise<Upload | undefined> {
  for await (const upload of client.listUploads({ prefix: key })) if (upload.key === key) return upload;
  return undefined;
}

function told({ code, reason, metadata }: OptistoreError, message: string, hint: string): HintedError {
  return new HintedError(new OptistoreError(message, code, reason, metadata), hint, true);
}

/** A word for a shell. */
function quoted(key: string): string {
  return /^[\w@%+=:,./-]+$/.test(key) ? key : `'${key.replaceAll("'", "'\\''")}'`;
}
