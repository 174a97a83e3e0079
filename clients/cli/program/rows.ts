import { Option, type Command } from 'commander';
import type { ExportFlags } from '../commands/export.js';
import type { ImportFlags } from '../commands/import.js';
import type { PlotFlags } from '../commands/plot.js';
import type { LoadFlags } from '../commands/load.js';
import type { SaveFlags } from '../commands/save.js';
import { ENDINGS, unknownEnding } from '../output/output-format.js';
import { INPUT_FORMATS, type InputFormat } from '../input-format.js';
import type { Add } from '../serve.js';
import {
  choice,
  JSON_FLAG,
  meaning,
  names,
  outputFormat,
  replication,
  revision,
  rowRange,
  SERVER,
  storeOption,
  TAG,
  wholeNumber,
} from './flags.js';

/** Rows in and out. */
export function addRows(add: Add): void {
  addSave(add);
  addLoad(add);
  addExport(add);
  addImport(add);
  addPlot(add);
}

function addSave(add: Add): void {
  add('save <key> <file>', 'save FILE.csv, .ndjson, .arrow, .parquet or .json, or what - standard input prints')
    .addOption(
      meaning('--format <format>', 'of the input (default: by its name or first bytes)', INPUT_FORMATS, (text) =>
        INPUT_FORMATS.find((format: InputFormat) => format === text),
      ),
    )
    .option('--problem <file>', 'the problem, in protobuf JSON')
    .option(...TAG)
    .option('--append', 'add the rows behind those that the key has')
    .option('--upload-id <id>', 'resume this upload, or name a new one')
    .addOption(replication())
    .addOption(choice('--to <store>', 'primary (default), or cache: in memory alone', ['primary', 'cache']))
    .option('--description <text>')
    .option('--expected-revision <n>', 'replace this revision only; 0: must not exist', revision)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(async (key: string, file: string, flags: SaveFlags) => {
      const { save } = await import('../commands/save.js');
      return save(key, file, flags);
    });
}

/** Which rows and columns. */
function selecting(command: Command): Command {
  return command
    .option('--columns <names>', 'parted by commas', names)
    .option('--rows <first:end>', 'rows from FIRST to before END', rowRange)
    .option('--set <name>', 'only the rows of this result set; --rows counts positions in it')
    .addOption(storeOption('--from <store>', 'only from this store'))
    .option('--revision <n>', 'this revision', revision);
}

const FORMAT = 'csv, json, ndjson, arrow, arrows (a stream) or parquet';

function addLoad(add: Add): void {
  selecting(add('load <key>', 'load a result as CSV, or in another format'))
    .option('-o, --output <file>', 'where to (default: standard output)')
    .addOption(outputFormat(`${FORMAT} (default: by the name of the file, else csv)`))
    .option('--follow', 'print the rows of a save in progress as they are acked, until it is committed')
    .option('--upload-id <id>', 'with --follow: this save (default: the one of the key that was opened last)')
    .option('--json', 'print JSON: --format json')
    .option(...SERVER)
    .action(async (key: string, flags: LoadFlags, command: Command) => {
      if (flags.uploadId !== undefined && !flags.follow) command.error('error: --upload-id goes with --follow');
      if (flags.follow && ('revision' in flags || 'set' in flags || 'from' in flags || flags.rows?.[1] !== undefined))
        command.error('error: --revision, --set, --from and an end of --rows do not go with --follow');
      if (!flags.json) checkEnding(flags, command);
      const { load } = await import('../commands/load.js');
      return load(key, flags);
    });
}

/** A table in another form than its name says would be found out by who reads it. */
function checkEnding({ output, format }: LoadFlags | ExportFlags, command: Command): void {
  const ending = output === undefined || format !== undefined ? undefined : unknownEnding(output);
  if (ending !== undefined)
    command.error(`error: "${ending}" tells no format: ${ENDINGS} were expected, or --format to say it`);
}

function addExport(add: Add): void {
  selecting(add('export [key]', 'write a result to a file, or many to a folder; ends with 1 where one failed'))
    .option('-o, --output <path>', 'the file (default: standard output), or with --prefix the folder')
    .addOption(outputFormat(`${FORMAT} (default: by the name of the file, else csv; with --prefix parquet)`))
    .option('--prefix <text>', 'all results whose keys begin so, a file each; "": all')
    .addOption(new Option('--jobs <n>', 'with --prefix: so many at a time').argParser(wholeNumber(1)).default(4))
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(async (key: string | undefined, flags: ExportFlags, command: Command) => {
      const { prefix, output } = flags;
      if ((key === undefined) === (prefix === undefined)) command.error('error: either a key or --prefix was expected');
      const { exportMany, exportResult } = await import('../commands/export.js');
      if (key !== undefined) {
        checkEnding(flags, command);
        return exportResult(key, flags);
      }
      if (output === undefined) command.error('error: --prefix writes many files: name their folder with -o');
      return exportMany(prefix ?? '', output, flags);
    });
}

function addImport(add: Add): void {
  add('import <folder>', 'save all tables below a folder, if they are not there yet; ends with 1 where one failed')
    .option('--prefix <text>', 'what the keys begin with, such as runs/; behind it comes the path of the file', '')
    .option('--problem <file>', 'of files without a NAME.problem.json beside them and without a problem of their own')
    .addOption(new Option('--jobs <n>', 'so many at a time').argParser(wholeNumber(1)).default(4))
    .option('--replace', 'also results that were not imported')
    .option('--dry-run', 'only tell what would be saved')
    .option(...TAG)
    .addOption(replication())
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(async (folder: string, flags: ImportFlags) => {
      const { importFolder } = await import('../commands/import.js');
      return importFolder(folder, flags);
    });
}

function addPlot(add: Add): void {
  add('plot <key>', 'draw a run: its first two objectives with the Pareto front, or how it got better')
    .option('--x <name>', 'another column, to the right')
    .option('--y <name>', 'another column, upwards')
    .option('--all', 'also the rows that lie far behind the front')
    .option('--convergence', 'the best value, or of several objectives the hypervolume, by evaluation')
    .option('--width <columns>', 'default: that of the terminal', wholeNumber(1))
    .option('--height <lines>', 'default: that of the terminal', wholeNumber(1))
    .option('--ascii', 'no character beyond ASCII (default: by the locale)')
    .option('--follow', 'a save in progress, drawn anew as its rows come')
    .option('--rows <first:end>', 'rows from FIRST to before END', rowRange)
    .option('--set <name>', 'only the rows of this result set')
    .option('--revision <n>', 'this revision', revision)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(async (key: string, flags: PlotFlags, command: Command) => {
      if (flags.follow && ('revision' in flags || 'set' in flags || 'rows' in flags))
        command.error('error: --revision, --set and --rows do not go with --follow');
      const { plot } = await import('../commands/plot.js');
      return plot(key, flags);
    });
}
