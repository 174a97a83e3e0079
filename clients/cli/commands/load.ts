import type { LoadOptions } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { tellLostDaemon } from '../lost-daemon.js';
import { loadTo } from '../output/load-to.js';
import { outputFormatOfName, type OutputFormat } from '../output/output-format.js';
import { selectionOf, type SelectionFlags } from '../selection.js';
import { whereItIs } from '../where-it-is.js';

/** Flags of `optistore load`. */
export interface LoadFlags extends SelectionFlags {
  readonly server?: string;
  readonly output?: string;
  readonly format?: OutputFormat;
  readonly json?: boolean;
  readonly follow?: boolean;
  readonly uploadId?: string;
}

/**
 * Loads a result to standard output or a file: in the format that is named, else that of the file's name, else CSV. A save that is
 * followed is printed row by row as it is acked, until its commit; a file is whole then.
 */
export async function load(key: string, flags: LoadFlags): Promise<void> {
  await using client = connect(flags);
  const { output, follow = false, uploadId } = flags;
  const format = flags.format ?? (flags.json ? 'json' : undefined) ?? outputFormatOfName(output ?? '') ?? 'csv';
  const options: LoadOptions = {
    ...selectionOf(flags),
    ...(follow && { follow: true, ...tellLostDaemon() }),
    ...(uploadId !== undefined && { uploadId }),
  };
  try {
    await loadTo(client.load(key, options), { format, file: output, isLive: follow });
  } catch (error) {
    throw await whereItIs(client, key, { command: 'load', follow, from: flags.from }, error);
  }
}
