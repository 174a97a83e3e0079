import { InvalidArgumentError, type Command } from 'commander';
import { contentOf, deleteSet, listSets, parseRows, putSet, type RowRun, type SetFlags } from '../commands/sets.js';
import type { Add } from '../serve.js';
import { JSON_FLAG, names, revision, SERVER } from './flags.js';

function rowList(text: string): RowRun[] {
  const runs = parseRows(text);
  if (runs === undefined) throw new InvalidArgumentError('rows were expected, such as 0:100,205,300:310.');
  return runs;
}

/** Named subsets of a result's rows. */
export function addSets(add: Add): void {
  add('set <key> [name]', 'list, make or delete named subsets of rows')
    .option('--rows <rows>', 'made of these rows, such as 0:100,205,300:310 (an end is not in it)', rowList)
    .option('--union <sets>', 'made of the rows in any of these sets', names)
    .option('--intersection <sets>', 'made of the rows in all of these sets', names)
    .option('--difference <sets>', 'made of the rows in the first of these sets and in no other', names)
    .option('--description <text>')
    .option('--delete', 'delete the set, not its rows')
    .option('--expected-revision <n>', 'change this revision only', revision)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((key: string, name: string | undefined, flags: SetFlags, command: Command) => {
      const content = contentOf(flags);
      if (name === undefined) {
        if (flags.delete || ['rows', 'union', 'intersection', 'difference'].some((way) => way in flags))
          command.error('error: the name of the set is missing');
        return listSets(key, flags);
      }
      if (flags.delete && content === undefined) return deleteSet(key, name, flags);
      if (content === undefined || flags.delete)
        command.error('error: one of --rows, --union, --intersection, --difference or --delete was expected');
      return putSet(key, name, content, flags);
    });
}
