import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Writes behind all before it, and waits while the output takes no more. Fails as the output does. */
export async function print(output: Writable, bytes: string | Uint8Array): Promise<void> {
  if (output.errored) throw output.errored;
  if (bytes.length > 0 && !output.write(bytes)) await once(output, 'drain');
}
