import { type Command, InvalidArgumentError, Option } from 'commander';
import { duration } from '../../server/config.js';
import { SCOPES } from '../../server/rpc/access/caller.js';
import { abortUpload, list, remove, show, status, uploads, type CommonFlags } from './commands/catalogue.js';
import { copy, move } from './commands/copy.js';
import { removeByPrefix, type DeletePrefixFlags } from './commands/delete-prefix.js';
import { load, type LoadFlags } from './commands/load.js';
import { migrateStore } from './commands/migrate-store.js';
import { migrate, type MigrateFlags } from './commands/migrate.js';
import { replicate } from './commands/replicate.js';
import { save, type SaveFlags } from './commands/save.js';
import { create, list as listTokens, revoke, type NewTokenFlags, type TokenFlags } from './commands/token.js';
import { verify, type VerifyFlags } from './commands/verify.js';
import { watch, type WatchFlags } from './commands/watch.js';
import { outcomeNamed, update, type UpdateFlags } from './commands/update.js';
import type { DeleteOptions, Outcome, SaveOptions, StoreRole } from '../typescript/index.js';
import type { InputFormat } from './input-format.js';
import { addServe, CONFIG, emptyProgram, type Add } from './serve.js';
import { contentOf, deleteSet, listSets, parseRows, putSet, type RowRun, type SetFlags } from './commands/sets.js';

function tag(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [name, ...value] = text.split('=');
  if (name === undefined || name === '' || value.length === 0)
    throw new InvalidArgumentError('name=value was expected.');
  return { ...before, [name]: value.join('=') };
}

function rowRange(text: string): [number, number?] {
  const match = /^(\d*):(\d*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('FIRST:END was expected, such as 0:100.');
  return match[2] === '' ? [Number(match[1])] : [Number(match[1]), Number(match[2])];
}

function revision(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a revision number was expected.');
  return BigInt(text);
}

function outcome(text: string): Outcome {
  const named = outcomeNamed(text);
  if (named === undefined) throw new InvalidArgumentError('finished, failed or stopped was expected.');
  return named;
}

function storeRole(text: string): StoreRole {
  if (text === 'primary' || text === 'secondary' || text === 'cache') return text;
  throw new InvalidArgumentError('primary, secondary or cache was expected.');
}

function inputFormat(text: string): InputFormat {
  if (text === 'csv' || text === 'ndjson' || text === 'arrow') return text;
  throw new InvalidArgumentError('csv, ndjson or arrow was expected.');
}

function saveTarget(text: string): NonNullable<SaveOptions['to']> {
  if (text === 'primary' || text === 'cache') return text;
  throw new InvalidArgumentError('primary or cache was expected.');
}

function replication(text: string): NonNullable<SaveOptions['replicate']> {
  if (text === 'sync') return 'sync';
  if (text === 'async' || text === 'none') return text === 'async';
  throw new InvalidArgumentError('async, sync or none was expected.');
}

const SERVER = [
  '--server <address>',
  'daemon: host:port or unix:PATH (default: OPTISTORE_SERVER, else 127.0.0.1:50051)',
] as const;
const JSON_FLAG = ['--json', 'print protobuf JSON'] as const;
const TAG = ['--tag <name=value>', 'a tag; may be repeated', tag] as const;

function rowList(text: string): RowRun[] {
  const runs = parseRows(text);
  if (runs === undefined) throw new InvalidArgumentError('rows were expected, such as 0:100,205,300:310.');
  return runs;
}

const names = (text: string) => text.split(',');

/** Rows in and out. */
function addRows(add: Add): void {
  add('save <key> <file>', 'save FILE.csv, .ndjson, .jsonl, .arrow, .arrows or .json, or what - standard input prints')
    .option(
      '--format <format>',
      'of the input: csv, ndjson or arrow (default: by its name or first bytes)',
      inputFormat,
    )
    .option('--problem <file>', 'the problem, in protobuf JSON')
    .option(...TAG)
    .option('--append', 'add the rows behind those that the key has')
    .option('--upload-id <id>', 'resume this upload, or name a new one')
    .option('--replicate [mode]', 'also to the secondary: async (default), sync (wait for it), none', replication)
    .option('--to <store>', 'primary (default), or cache: in memory alone', saveTarget)
    .option('--description <text>')
    .option('--expected-revision <n>', 'replace this revision only; 0: must not exist', revision)
    .option(...SERVER)
    .action((key: string, file: string, flags: SaveFlags) => save(key, file, flags));
  add('load <key>', 'load a result as CSV, or as JSON by the name of the file')
    .option('-o, --output <file>', 'where to (default: standard output)')
    .option('--columns <names>', 'parted by commas', (text) => text.split(','))
    .option('--rows <first:end>', 'rows from FIRST to before END', rowRange)
    .option('--set <name>', 'only the rows of this result set; --rows counts positions in it')
    .option('--from <store>', 'only from this store: primary, secondary or cache', storeRole)
    .option('--revision <n>', 'this revision', revision)
    .option('--follow', 'print the rows of a save in progress as they are acked, until it is committed')
    .option('--upload-id <id>', 'with --follow: this save (default: the one of the key that was opened last)')
    .option(...SERVER)
    .action((key: string, flags: LoadFlags, command: Command) => {
      if (flags.uploadId !== undefined && !flags.follow) command.error('error: --upload-id goes with --follow');
      if (flags.follow && ('revision' in flags || 'set' in flags || 'from' in flags || flags.rows?.[1] !== undefined))
        command.error('error: --revision, --set, --from and an end of --rows do not go with --follow');
      return load(key, flags);
    });
}

/** Named subsets of a result's rows. */
function addSets(add: Add): void {
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

/** What there is. */
function addCatalogue(add: Add): void {
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
    .option('--outcome <outcome>', 'finished, failed or stopped', outcome)
    .option('--expected-revision <n>', 'change this revision only', revision)
    .option(...SERVER)
    .action((key: string, flags: UpdateFlags, command: Command) => {
      if (!['tag', 'removeTag', 'description', 'outcome'].some((what) => what in flags))
        command.error('error: one of --tag, --remove-tag, --description or --outcome was expected');
      return update(key, flags);
    });
  add('copy <key> <to-key>', 'copy a result to another key')
    .option('--revision <n>', 'this revision', revision)
    .option('--expected-revision <n>', 'replace this revision of the other key; else it must not exist', revision)
    .option(...SERVER)
    .action(copy);
  add('move <key> <to-key>', 'give a result another key')
    .option('--expected-revision <n>', 'replace this revision of the other key; else it must not exist', revision)
    .option(...SERVER)
    .action(move);
  add('delete [key]', 'delete a result, or all results whose keys begin alike')
    .option('--expected-revision <n>', 'delete this revision only', revision)
    .option('--from <store>', 'only the copy in this store: primary, secondary or cache', storeRole)
    .option('--prefix <text>', 'all results whose keys begin so')
    .option('--dry-run', 'with --prefix: only list what would go')
    .option('--yes', 'with --prefix: do not ask')
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

const storeOption = (flag: string, description: string) =>
  new Option(`${flag} <store>`, `${description}: primary, secondary or cache`)
    .argParser(storeRole)
    .makeOptionMandatory();

/** From store to store. */
function addMigration(add: Add): void {
  add('migrate [key]', 'bring a result, or many, from one store to another; ends with 1 where one was left')
    .addOption(storeOption('--from', 'where it is'))
    .addOption(storeOption('--to', 'where it goes'))
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

/** What the daemon does. */
function addDaemon(add: Add): void {
  add('verify [prefix]', 'read results again and check every byte; ends with 1 where something is corrupt or missing')
    .option('--repair', "replace what is corrupt or missing by the other store's copy")
    .addOption(new Option('--backend <store>', "only this store's copies").choices(['primary', 'secondary']))
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: VerifyFlags) => verify(prefix ?? '', flags));
  add('watch [prefix]', 'print what is committed, updated and deleted, until Ctrl-C')
    .option('--after <event>', 'go on behind this event; 0: from the first (default: from now on)', revision)
    .option('--uploads', 'also saves in progress')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: WatchFlags) => watch(prefix ?? '', flags));
  const inProgress = add('uploads', 'list saves in progress')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(uploads);
  inProgress
    .command('abort <id>')
    .description('give up an upload and remove its rows')
    .option(...SERVER)
    .exitOverride()
    .action((id: string, _: CommonFlags, command: Command) => abortUpload(id, command.optsWithGlobals()));
  add('status', 'tell how the daemon is')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(status);
}

const TOKENS_FILE = ['--tokens <file>', 'the file of tokens (default: `tokens` of the configuration)'] as const;

/** Who may call. Works on the daemon's file, on its machine. */
function addTokens(add: Add): void {
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
    .action((name: string, flags: NewTokenFlags) => create(name, flags));
  on('list', 'list the tokens, without their secrets')
    .option(...JSON_FLAG)
    .action((flags: TokenFlags) => listTokens(flags));
  on('revoke <name>', 'revoke a token, by its name or id').action((name: string, flags: TokenFlags) =>
    revoke(name, flags),
  );
}

function lifetime(text: string): number {
  const parsed = duration.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError('a duration was expected, such as 90d or 12h.');
  return parsed.data;
}

/** All commands and their flags. */
export function program(): Command {
  const { cli, add } = emptyProgram();
  addServe(add);
  addRows(add);
  addSets(add);
  addCatalogue(add);
  addMigration(add);
  addDaemon(add);
  addTokens(add);
  return cli;
}
