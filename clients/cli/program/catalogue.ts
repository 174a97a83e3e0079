import type { Command } from 'commander';
import type { DeleteOptions } from '../../typescript/index.js';
import { list, remove, show, type CommonFlags } from '../commands/catalogue.js';
import { copy, move } from '../commands/copy.js';
import { removeByPrefix, type DeletePrefixFlags } from '../commands/delete-prefix.js';
import { update, type UpdateFlags } from '../commands/update.js';
import type { Add } from '../serve.js';
import { JSON_FLAG, outcomeOption, revision, SERVER, storeOption, TAG } from './flags.js';

/** What there is. */
export function addCatalogue(add: Add): void {
  add('list [prefix]', 'list results')
    .option(...TAG)
    .option('--filter <expression>', 'such as \'solver = "NSGA2" AND best.f < 2.5\'; see docs/filter.md')
    .option('--order-by <field>', 'key, commit_time or update_time, " desc" for the reverse')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: CommonFlags) => list(prefix ?? '', flags));
  add('show <key>', 'show what is known of a result')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(show);
  add('update <key>', 'change what is known of a result, not its rows')
    .option(...TAG)
    .option('--remove-tag <name>', 'remove a tag; may be repeated', (name: string, before: string[] = []) => [
      ...before,
      name,
    ])
    .option('--description <text>')
    .addOption(outcomeOption())
    .option('--expected-revision <n>', 'change this revision only', revision)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((key: string, flags: UpdateFlags, command: Command) => {
      if (!['tag', 'removeTag', 'description', 'outcome'].some((what) => what in flags))
        command.error('error: one of --tag, --remove-tag, --description or --outcome was expected');
      return update(key, flags);
    });
  add('copy <key> <to-key>', 'copy a result to another key')
    .option('--revision <n>', 'this revision', revision)
    .option('--expected-revision <n>', 'replace this revision of the other key; else it must not exist', revision)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(copy);
  add('move <key> <to-key>', 'give a result another key')
    .option('--expected-revision <n>', 'replace this revision of the other key; else it must not exist', revision)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(move);
  add('delete [key]', 'delete a result, or all results whose keys begin alike')
    .option('--expected-revision <n>', 'delete this revision only', revision)
    .addOption(storeOption('--from <store>', 'only the copy in this store'))
    .option('--prefix <text>', 'all results whose keys begin so')
    .option('--dry-run', 'with --prefix: only list what would go')
    .option('--yes', 'with --prefix: do not ask')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((key: string | undefined, flags: CommonFlags & DeletePrefixFlags & DeleteOptions, command: Command) => {
      const isOne = flags.prefix === undefined;
      if ((key === undefined) === isOne) command.error('error: either a key or --prefix was expected');
      if (flags.prefix === '') command.error('error: --prefix is empty, which is the beginning of every key');
      if (isOne && (flags.dryRun || flags.yes)) command.error('error: --dry-run and --yes go with --prefix');
      if (!isOne && (flags.expectedRevision !== undefined || flags.from !== undefined))
        command.error('error: --expected-revision and --from go with a key');
      return isOne ? remove(key as string, flags) : removeByPrefix(flags);
    });
}
