import { Command, InvalidArgumentError } from 'commander';
import type { Settings } from '../../server/config.js';
import { serve } from '../../server/main.js';
import { abortUpload, list, remove, show, status, uploads, type CommonFlags } from './commands/catalogue.js';
import { load, type LoadFlags } from './commands/load.js';
import { save, type SaveFlags } from './commands/save.js';

/** Adds a command. */
type Add = (name: string, description: string) => Command;

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

const SERVER = [
  '--server <address>',
  'daemon: host:port or unix:PATH (default: OPTISTORE_SERVER, else 127.0.0.1:50051)',
] as const;
const JSON_FLAG = ['--json', 'print protobuf JSON'] as const;
const TAG = ['--tag <name=value>', 'a tag; may be repeated', tag] as const;

/** The daemon. */
function addServe(add: Add): void {
  add('serve', 'run the daemon until Ctrl-C')
    .option('--config <file>', 'configuration (default: optistore.yaml where it exists)')
    .option('--listen <host:port>', 'gRPC address (default: 127.0.0.1:50051)')
    .option('--socket <path>', 'Unix socket, beside TCP')
    .option('--path <folder>', 'folder of the store (default: ./optistore-data)')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent')
    .option('--insecure', 'allow an address that others can reach, without encryption')
    .action((flags: Record<string, string | boolean | undefined>) => {
      const { config, listen, socket, path, logLevel, insecure } = flags;
      const settings: Settings = { listen, socket, insecure, log_level: logLevel, primary: { path } };
      return serve(settings, config as string | undefined);
    });
}

/** Rows in and out. */
function addRows(add: Add): void {
  add('save <key> <file>', 'save FILE.csv, FILE.json, or - for CSV from standard input')
    .option('--problem <file>', 'the problem, in protobuf JSON')
    .option(...TAG)
    .option('--append', 'add the rows behind those that the key has')
    .option('--upload-id <id>', 'resume this upload, or name a new one')
    .option('--description <text>')
    .option('--expected-revision <n>', 'replace this revision only; 0: must not exist', revision)
    .option(...SERVER)
    .action((key: string, file: string, flags: SaveFlags) => save(key, file, flags));
  add('load <key>', 'load a result as CSV, or as JSON by the name of the file')
    .option('-o, --output <file>', 'where to (default: standard output)')
    .option('--columns <names>', 'parted by commas', (text) => text.split(','))
    .option('--rows <first:end>', 'rows from FIRST to before END', rowRange)
    .option('--revision <n>', 'this revision', revision)
    .option(...SERVER)
    .action((key: string, flags: LoadFlags) => load(key, flags));
}

/** What there is. */
function addCatalogue(add: Add): void {
  add('list [prefix]', 'list results')
    .option(...TAG)
    .option('--order-by <field>', 'key, commit_time or update_time, " desc" for the reverse')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: CommonFlags) => list(prefix ?? '', flags));
  add('show <key>', 'show what is known of a result')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(show);
  add('delete <key>', 'delete a result')
    .option('--expected-revision <n>', 'delete this revision only', revision)
    .option(...SERVER)
    .action(remove);
}

/** What the daemon does. */
function addDaemon(add: Add): void {
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

/** All commands and their flags. */
export function program(): Command {
  const cli = new Command('optistore').description('Keeps the results of optimization runs.').exitOverride();
  const add: Add = (name, description) => cli.command(name).description(description).exitOverride();
  addServe(add);
  addRows(add);
  addCatalogue(add);
  addDaemon(add);
  return cli;
}
