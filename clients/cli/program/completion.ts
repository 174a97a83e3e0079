import { Argument, type Command } from 'commander';
import { SHELLS, type Shell } from '../completion/scripts.js';
import type { Add } from '../serve.js';

/** Completion of commands, options and keys in a shell. */
export function addCompletion(cli: Command, add: Add): void {
  add('completion', 'print what makes a shell complete commands, options and keys: see docs/cli.md')
    .addArgument(new Argument('<shell>', 'which').choices(SHELLS))
    .action(async (shell: Shell) => {
      const { completion } = await import('../commands/completion.js');
      completion(shell);
    });
  cli
    .command('complete', { hidden: true })
    .argument('[words...]')
    .exitOverride()
    .action(async (words: string[]) => {
      const { complete } = await import('../commands/completion.js');
      await complete(cli, words);
    });
}
