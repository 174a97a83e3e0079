#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { CommanderError } from 'commander';
import { ConfigError } from '../../server/config.js';
import { StorageError } from '../../server/errors.js';
import { TokenFileError } from '../../server/rpc/access/token-file.js';
import { OptistoreError } from '../typescript/index.js';
import { InputError } from './csv.js';
import { program } from './program.js';

/**
 * Batches are buffers outside of V8's heap, and V8 begins to mark the heap anew at each 64 MiB of them. In steps between
 * other work that took a quarter of the daemon's time; at once it takes some 10 ms. See docs/decisions/0004.
 */
setFlagsFromString('--no-incremental-marking');

/** Exit codes: 0 done, 1 failed, 2 wrong usage. */
async function main(): Promise<void> {
  // A reader such as `head` may close the pipe: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  try {
    await program().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else {
      process.exitCode = error instanceof ConfigError ? 2 : 1;
      process.stderr.write(`${explain(error)}\n`);
    }
  }
}

function explain(error: unknown): string {
  if (error instanceof OptistoreError || error instanceof StorageError)
    return error.reason === undefined ? error.message : `${error.message} [${error.reason}]`;
  if (error instanceof InputError || error instanceof ConfigError || error instanceof TokenFileError)
    return error.message;
  // The system's own words name the file: ENOENT, EACCES, EISDIR and their like.
  if (error instanceof Error && 'syscall' in error) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

await main();
