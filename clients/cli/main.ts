#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { CommanderError, type Command } from 'commander';
import { ConfigError } from '../../server/config.js';
import { errorText, explain } from './explained.js';
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
      const isJson = process.argv.includes('--json');
      process.stderr.write(`${errorText(await explain(error), isJson)}\n`);
    }
  }
}

async function programFor(command: string | undefined): Promise<Command> {
  return command === 'serve' ? serveProgram() : (await import('./program.js')).program();
}

await main();
