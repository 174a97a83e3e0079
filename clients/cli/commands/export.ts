import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OptistoreError, type OptistoreClient, type Result } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { inParallel } from '../in-parallel.js';
import { pathOfKey } from '../key-paths.js';
import { loadTo } from '../output/load-to.js';
import { outputFormatOfName, type OutputFormat } from '../output/output-format.js';
import { writeWhole } from '../output/whole-file.js';
import { writeTable } from '../output/write-table.js';
import { progressBar } from '../progress.js';
import { selectionOf, type SelectionFlags } from '../selection.js';
import { whereItIs } from '../where-it-is.js';
import { counted } from '../words.js';

/** Flags of `optistore export`. */
export interface ExportFlags extends SelectionFlags {
  readonly server?: string;
  readonly output?: string;
  readonly format?: OutputFormat;
  readonly json?: boolean;
  readonly prefix?: string;
  readonly jobs: number;
}

/** What became of a result, as `--json` tells it. */
interface Exported {
  readonly key: string;
  readonly file: string;
  readonly revision?: string;
  readonly rowCount?: string;
  readonly sizeBytes?: string;
  readonly failure?: string;
}

/** `optistore export KEY`: one result, to a file or standard output. */
export async function exportResult(key: string, flags: ExportFlags): Promise<void> {
  await using client = connect(flags);
  const { output: file } = flags;
  const format = flags.format ?? outputFormatOfName(file ?? '') ?? 'csv';
  const { result, rowCount } = await loadTo(client.load(key, selectionOf(flags)), { format, file }).catch(
    async (error: unknown) => {
      throw await whereItIs(client, key, { command: 'export', from: flags.from }, error);
    },
  );
  if (file === undefined) return;
  const { size } = await stat(file);
  tell(flags, { key, file, revision: `${result?.revision}`, rowCount: `${rowCount}`, sizeBytes: `${size}` });
}

/**
 * `optistore export --prefix P -o FOLDER`: a file each result, several at a time. One that fails is told, the others go on, and the
 * command ends with 1.
 */
export async function exportMany(prefix: string, folder: string, flags: ExportFlags): Promise<void> {
  await using client = connect(flags);
  const format = flags.format ?? 'parquet';
  const results: Pick<Result, 'key' | 'revision'>[] = [];
  for await (const { key, revision } of client.listResults({ prefix })) results.push({ key, revision });
  const bar = progressBar('exported results', results.length);
  let [done, failed] = [0, 0];
  try {
    await mkdir(folder, { recursive: true });
    await inParallel(results, flags.jobs, async ({ key }) => {
      const file = join(folder, pathOfKey(key, format));
      const told = await exportTo(client, key, file, format, flags);
      if (told.failure !== undefined) failed++;
      bar.update(++done);
      if (flags.json || told.failure !== undefined) tell(flags, told);
    });
  } finally {
    bar.stop();
  }
  if (failed > 0) process.exitCode = 1;
  if (!flags.json)
    process.stdout.write(
      `${counted(done - failed, 'result')} exported to ${folder}${failed > 0 ? `; ${failed} failed` : ''}\n`,
    );
}

async function exportTo(
  client: OptistoreClient,
  key: string,
  file: string,
  format: OutputFormat,
  flags: ExportFlags,
): Promise<Exported> {
  try {
    await mkdir(dirname(file), { recursive: true });
    let told: Exported = { key, file };
    await writeWhole(file, async (output) => {
      const { result, rowCount } = await writeTable(client.load(key, selectionOf(flags)), format, output);
      told = { ...told, revision: `${result?.revision}`, rowCount: `${rowCount}` };
    });
    return { ...told, sizeBytes: `${(await stat(file)).size}` };
  } catch (error) {
    // Of one that is broken, gone or unlike the others; where nobody answers, or the disk is full, all others would fail as well.
    if (!(error instanceof OptistoreError) || error.isRetryable) throw error;
    return { key, file, failure: error.message };
  }
}

function tell({ json }: ExportFlags, told: Exported): void {
  if (json) process.stdout.write(`${JSON.stringify(told)}\n`);
  else if (told.failure !== undefined) process.stderr.write(`${told.key}: ${told.failure}\n`);
  else
    process.stdout.write(
      `${told.key} → ${told.file}: ${counted(BigInt(told.rowCount ?? 0), 'row')}, ${told.sizeBytes} bytes\n`,
    );
}
