import type { Command } from 'commander';
import { candidatesFor } from '../completion/candidates.js';
import { SCRIPTS, type Shell } from '../completion/scripts.js';
import { print } from '../stdout.js';

/** `optistore completion`: prints what a shell is to read. */
export function completion(shell: Shell): void {
  process.stdout.write(SCRIPTS[shell]);
}

/** `optistore complete`, which those scripts call: a candidate a line, with its description behind a tab. */
export async function complete(root: Command, words: readonly string[]): Promise<void> {
  const candidates = await candidatesFor(root, words);
  if (candidates === 'files') return print(':files');
  // A control character in a key would be a line of its own, or a command to the terminal.
  for (const { value, description } of candidates) print(`${value}\t${description.replace(/\p{Cc}/gu, ' ')}`);
}
