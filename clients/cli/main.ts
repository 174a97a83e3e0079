#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { CommanderError, type Command } from 'commander';
import { ConfigError } from '../../server/config.js';
import { StorageError } from '../../server/errors.js';
import { TokenFileError } from '../../server/rpc/access/token-file.js';
import { serveProgram } from './serve.js';

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
    await (await programFor(process.argv[2])).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else {
      process.exitCode = error instanceof ConfigError ? 2 : 1;
      process.stderr.write(`${await explain(error)}\n`);
    }
  }
}

async function programFor(command: string | undefined): Promise<Command> {
  return command === 'serve' ? serveProgram() : (await import('./program.js')).program();
}

async function explain(error: unknown): Promise<string> {
  // Whoever throws them has them already.
  const { OptistoreError } = await import('../typescript/errors.js');
  const { InputError } = await import('./input-error.js');
  if (error instanceof OptistoreError || error instanceof StorageError)
    return error.reason === undefined ? error.message : `${error.message} [${error.reason}]`;
  if (error instanceof InputError || error instanceof ConfigError || error instanceof TokenFileError)
    return error.message;
  // The system's own words name the file: ENOENT, EACCES, EISDIR and their like.
  if (error instanceof Error && 'syscall' in error) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

await main();
