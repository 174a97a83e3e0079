import type { Command } from 'commander';
import type { CommonFlags } from '../commands/catalogue.js';
import { migrateStore } from '../commands/migrate-store.js';
import { migrate, type MigrateFlags } from '../commands/migrate.js';
import { replicate } from '../commands/replicate.js';
import type { Add } from '../serve.js';
import { JSON_FLAG, SERVER, storeOption } from './flags.js';

/** From store to store. */
export function addMigration(add: Add): void {
  add('migrate [key]', 'bring a result, or many, from one store to another; ends with 1 where one was left')
    .addOption(storeOption('--from <store>', 'where it is').makeOptionMandatory())
    .addOption(storeOption('--to <store>', 'where it goes').makeOptionMandatory())
    .option('--keep', 'copy instead of moving')
    .option('--prefix <text>', 'all results whose keys begin so')
    .option('--all', 'all results')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((key: string | undefined, flags: MigrateFlags, command: Command) => {
      const { prefix, all, from, to } = flags;
      if ([key !== undefined, prefix !== undefined, all].filter(Boolean).length !== 1)
        command.error('error: either a key, --prefix or --all was expected');
      if (prefix === '') command.error('error: --prefix is empty, which is the beginning of every key: say --all');
      if (from === to) command.error(`error: --from and --to are both the ${from}`);
      return migrate(key, flags);
    });
  add('replicate [prefix]', 'copy to the secondary what it lacks; later changes of these keys are replicated')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: CommonFlags) => replicate(prefix ?? '', flags));
  add('migrate-store', 'copy everything to the secondary, so that it can take the place of the primary')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(migrateStore);
}
