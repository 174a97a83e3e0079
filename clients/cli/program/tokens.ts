import { InvalidArgumentError, Option } from 'commander';
import { duration } from '../../../server/config.js';
import { SCOPES } from '../../../server/rpc/access/caller.js';
import { create, list as listTokens, revoke, type NewTokenFlags, type TokenFlags } from '../commands/token.js';
import { CONFIG, type Add } from '../serve.js';
import { JSON_FLAG } from './flags.js';

const TOKENS_FILE = ['--tokens <file>', 'the file of tokens (default: `tokens` of the configuration)'] as const;

/** Who may call. Works on the daemon's file, on its machine. */
export function addTokens(add: Add): void {
  const token = add('token', 'make, list and revoke the tokens that a daemon accepts');
  const on = (name: string, description: string) =>
    token
      .command(name)
      .description(description)
      .option(...TOKENS_FILE)
      .option(...CONFIG)
      .exitOverride();
  on('create <name>', 'make a token and print it, this once')
    .addOption(new Option('--scope <scope>', 'what it allows').choices(SCOPES).default('write'))
    .option('--prefix <text>', 'only keys that begin so, such as team/ (default: all)')
    .option('--expires <time>', 'it ends so long from now, such as 90d (default: never)', lifetime)
    .option(...JSON_FLAG)
    .action((name: string, flags: NewTokenFlags) => create(name, flags));
  on('list', 'list the tokens, without their secrets')
    .option(...JSON_FLAG)
    .action((flags: TokenFlags) => listTokens(flags));
  on('revoke <name>', 'revoke a token, by its name or id')
    .option(...JSON_FLAG)
    .action((name: string, flags: TokenFlags) => revoke(name, flags));
}

function lifetime(text: string): number {
  const parsed = duration.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError('a duration was expected, such as 90d or 12h.');
  return parsed.data;
}
