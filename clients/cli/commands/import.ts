import type { SaveOptions } from '../../typescript/index.js';
import { OptistoreError, type OptistoreClient } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { fileError } from '../file-error.js';
import { findFiles, type FoundFile } from '../import/found-files.js';
import { importFile, type Imported, type ImportOptions } from '../import/import-file.js';
import { inParallel } from '../in-parallel.js';
import { InputError } from '../input-error.js';
import { progressBar } from '../progress.js';
import { readProblem } from '../save-rows.js';
import { print, printJsonLine } from '../stdout.js';
import { counted } from '../words.js';

/** Flags of `optistore import`. */
export interface ImportFlags {
  readonly server?: string;
  readonly json?: boolean;
  readonly prefix: string;
  readonly problem?: string;
  readonly jobs: number;
  readonly dryRun?: boolean;
  readonly replace?: boolean;
  readonly tag?: Record<string, string>;
  readonly replicate?: NonNullable<SaveOptions['replicate']>;
}

type Counts = Record<Imported['state'] | 'failed', number>;

/**
 * `optistore import`: the tables below a folder, several at a time. Killed, or run again, it saves what is not there yet. One that fails
 * is told at the end, the others go on, and the command ends with 1.
 */
export async function importFolder(folder: string, flags: ImportFlags): Promise<void> {
  const files = await findFiles(folder, flags.prefix);
  // What is wrong with the one problem of all is told once, before anything is saved.
  if (flags.problem !== undefined) await readProblem(flags.problem);
  await using client = connect(flags);
  const counts: Counts = { imported: 0, updated: 0, unchanged: 0, failed: 0 };
  const failures: string[] = [];
  const bar = progressBar('imported files', files.length);
  let done = 0;
  try {
    await inParallel(files, flags.jobs, async (found) => {
      const told = await tryImport(client, found, optionsOf(flags));
      counts[told.state]++;
      if (told.state === 'failed') failures.push(`${found.path}: ${told.failure}`);
      bar.update(++done);
      tell(found, told, flags);
    });
  } finally {
    bar.stop();
    if (!flags.json) for (const failure of failures) process.stderr.write(`${failure}\n`);
  }
  if (failures.length > 0) process.exitCode = 1;
  if (!flags.json) print(summary(counts, flags.dryRun === true));
}

function optionsOf(flags: ImportFlags): ImportOptions {
  return {
    ...{ isDryRun: flags.dryRun === true, isReplacing: flags.replace === true },
    ...(flags.problem !== undefined && { problemFile: flags.problem }),
    ...(flags.tag && { tags: flags.tag }),
    ...(flags.replicate !== undefined && { replicate: flags.replicate }),
  };
}

type Told = Imported | { readonly state: 'failed'; readonly failure: string };

async function tryImport(client: OptistoreClient, found: FoundFile, options: ImportOptions): Promise<Told> {
  try {
    return await importFile(client, found, options);
  } catch (error) {
    // Of this file; where nobody answers, all others would fail as well.
    const isOfFile = error instanceof InputError || (error instanceof Error && 'syscall' in error);
    const isRefused = error instanceof OptistoreError && !error.isRetryable;
    if (!isOfFile && !isRefused) throw error;
    return { state: 'failed', failure: fileError(error) ?? error.message };
  }
}

function tell({ path, key }: FoundFile, told: Told, { json, dryRun }: ImportFlags): void {
  if (json) {
    const result = 'result' in told ? told.result : undefined;
    printJsonLine({
      ...{ file: path, key, state: told.state, ...(dryRun && { dryRun }) },
      ...(result && { revision: `${result.revision}`, rowCount: `${result.rowCount}` }),
      ...('failure' in told && { failure: told.failure }),
    });
  } else if (dryRun && told.state !== 'failed') print(`${path} → ${key}: ${WOULD[told.state]}`);
}

const WOULD: Record<Imported['state'], string> = {
  imported: 'would be imported',
  updated: 'would be imported as a new revision',
  unchanged: 'is there',
};

function summary({ imported, updated, unchanged, failed }: Counts, isDryRun: boolean): string {
  const parts = [
    `${counted(imported, 'file')} ${isDryRun ? 'would be imported' : 'imported'}`,
    `${updated} as a new revision`,
    `${unchanged} ${isDryRun ? (unchanged === 1 ? 'is' : 'are') : 'were'} there`,
  ];
  if (failed > 0) parts.push(`${failed} ${isDryRun ? 'would fail' : 'failed'}`);
  return `${parts.join(', ')}${isDryRun ? ': nothing was saved, this was a dry run' : ''}`;
}
