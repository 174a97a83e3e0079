import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { createClient, valueAt, type LoadedColumn } from '../typescript/index.js';
import { toColumns, type Cell } from './cells.js';
import { readCsv } from './csv.js';
import { DaemonProcess, freePort } from './daemon-process.js';
import { drawRun, viewOf } from './plot/draw-run.js';
import { RunRows } from './plot/run-rows.js';

const ROWS_PER_APPEND = 20;
const say = (text: string) => process.stdout.write(`${text}\n`);

/** Streams a real run into a daemon, kills it half-way, goes on, and compares what comes back bit for bit. */
async function demo(folder: string): Promise<void> {
  const problem = fromJson(
    ProblemSchema,
    JSON.parse(await readFile('examples/welded_beam.problem.json', 'utf8')) as JsonValue,
  );
  const rows: Cell[][] = [];
  for await (const some of readCsv(createReadStream('examples/welded_beam.csv'), problem)) rows.push(...some);
  const address = `127.0.0.1:${await freePort()}`;
  const flags = ['--path', join(folder, 'data'), '--listen', address];
  let daemon = await DaemonProcess.start(flags);
  say(`1. A daemon serves at ${address}.`);
  let resumes = 0;
  try {
    await using client = createClient({ address });
    const writer = await client.save('demo/welded-beam', problem, { onReconnect: () => resumes++ });
    for (let from = 0; from < rows.length; from += ROWS_PER_APPEND) {
      if (from === rows.length / 2) {
        await writer.flush();
        await writer.append(toColumns(problem, rows.slice(from, (from += ROWS_PER_APPEND))));
        await daemon.stop('SIGKILL');
        say(`2. SIGKILL after ${writer.nextRow} of ${rows.length} rows; ${writer.durableRowCount} were acknowledged.`);
        daemon = await DaemonProcess.start(flags);
        say('3. A new daemon serves the same folder; the solver has not stopped.');
      }
      await writer.append(toColumns(problem, rows.slice(from, from + ROWS_PER_APPEND)));
    }
    const result = await writer.commit();
    say(
      `4. Resumed by itself (${resumes} tries to reconnect) and committed ${result.rowCount} rows as revision ${result.revision}.`,
    );
    const { columns } = await client.load('demo/welded-beam').toColumns();
    compare(problem, rows, columns);
    say(`5. Loaded back: all ${rows.length * problem.variables.length} values equal, bit for bit.`);
    showFront(problem, columns, rows.length);
    await daemon.stop('SIGTERM');
  } finally {
    await daemon.stop('SIGKILL');
  }
}

function compare(problem: Problem, rows: readonly Cell[][], columns: Readonly<Record<string, LoadedColumn>>): void {
  for (const [i, { name }] of problem.variables.entries()) {
    const column = columns[name];
    if (column?.values.length !== rows.length)
      throw new Error(`"${name}" has ${column?.values.length} rows, not ${rows.length}`);
    for (const [row, cells] of rows.entries()) {
      // Object.is tells -0 from 0, and doubles that are neither 0 nor NaN are the same when their bits are.
      if (!Object.is(valueAt(column, row), cells[i]))
        throw new Error(`row ${row} of "${name}" differs: ${String(valueAt(column, row))}, not ${String(cells[i])}`);
    }
  }
}

function showFront(problem: Problem, columns: Readonly<Record<string, LoadedColumn>>, rowCount: number): void {
  const rows = new RunRows(problem.variables);
  rows.take({ firstRow: 0, rowCount, columns });
  const size = { columns: 72, lines: 22, isAscii: false };
  say('6. Its objectives, and its Pareto front:\n');
  for (const line of drawRun(problem.name, rows, viewOf(problem.variables, {}), problem.variables, size)) say(line);
}

// A reader such as `head` may close the pipe: the demo goes on to its end.
process.stdout.on('error', () => undefined);
const folder = await mkdtemp(join(tmpdir(), 'optistore-demo-'));
try {
  await demo(folder);
} catch (error) {
  process.stderr.write(`The demo failed: ${String(error)}\n`);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
