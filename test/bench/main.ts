/** `make bench`: the daemon's figures, each beside its ceiling, measured in turn with it; `make bench-peers`: and its peers'. See docs/performance.md. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Bench } from './bench.js';
import { CEILINGS } from './ceilings.js';
import { Figures } from './figures.js';
import { thisMachine } from './machine.js';
import { bulk } from './parts/bulk.js';
import { fairness } from './parts/fairness.js';
import { growth } from './parts/growth.js';
import { lists } from './parts/lists.js';
import { localFiles, localNumpy } from './parts/local-files.js';
import { metadata } from './parts/metadata.js';
import { oneRowAppends } from './parts/one-row-appends.js';
import { page } from './parts/page.js';
import { peers } from './parts/peers.js';
import { optuna, python } from './parts/python.js';
import { smallResults } from './parts/small-results.js';
import { tls } from './parts/tls.js';
import { transports } from './parts/transports.js';

type Parts = Readonly<Record<string, (bench: Bench) => Promise<void>>>;
/** What is measured of the clients that are in other languages, or use another transport. */
const CLIENTS: Parts = { transports, python, optuna };
/** What is measured of optistore. */
const OWN: Parts = {
  bulk,
  local: localFiles,
  small: smallResults,
  rows: oneRowAppends,
  metadata,
  fairness,
  tls,
  lists,
  ...CLIENTS,
  page,
};
const PARTS: Parts = { ...OWN, numpy: localNumpy, peers, growth };
const RESULTS = resolve('test/bench/results/latest.json');
const DOCUMENT = resolve('docs/performance.md');
/** Between such lines of the document stands the table of a target of the Makefile. */
const beginOf = (target: string) => `<!-- made by make ${target} -->`;
const TABLE_ENDS = '<!-- end -->';

/** Writes what was measured for programs, and gives it as a table for people. */
async function writeDown({ figures, folder, times }: Bench, path: string): Promise<string> {
  const machine = thisMachine(folder);
  const leftOut = figures.leftOut.size === 0 ? {} : { left_out: Object.fromEntries(figures.leftOut) };
  const ratios = {
    save_ratio: figures.shareOf('save', CEILINGS.up.id),
    load_ratio: figures.shareOf('load', CEILINGS.down.id),
  };
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify({ machine, times, ...ratios, figures, ...leftOut }, null, 2)}\n`);
  const { cores, processor, memoryGiB, kernel, fileSystem, node, commit, time } = machine;
  const where = `${cores} × ${processor}, ${memoryGiB} GiB, Linux ${kernel}, ${fileSystem}, Node ${node}`;
  return `${where}; commit ${commit}; ${time.slice(0, 10)}; ${times === 1 ? 'one run' : `${times} runs`} of each.\n\n${figures.toMarkdown()}`;
}

/** Puts a table into the document, in the place of the one before. */
async function publish(target: string, table: string): Promise<void> {
  const document = await readFile(DOCUMENT, 'utf8');
  const before = document.indexOf(beginOf(target));
  const behind = document.indexOf(TABLE_ENDS, before);
  if (before < 0 || behind < before) throw new Error(`${DOCUMENT} has no place for the table of ${target}.`);
  const head = document.slice(0, before + beginOf(target).length);
  await writeFile(DOCUMENT, `${head}\n\n${table}\n\n${document.slice(behind)}`);
}

// `make bench-peers` names them as an argument.
const asked = process.env['BENCH_PARTS']?.split(',') ?? [...Object.keys(OWN), ...process.argv.slice(2)];
const unknown = asked.filter((name) => PARTS[name] === undefined);
if (unknown.length > 0)
  throw new Error(`BENCH_PARTS names ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}.`);

const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'optistore-bench-'));
try {
  const bench = { figures: new Figures(), folder, times: Number(process.env['BENCH_TIMES'] ?? 3) };
  for (const name of asked) await PARTS[name]?.(bench);
  // The document and the latest results are of the whole of optistore, or not written.
  const isWhole = Object.keys(OWN).every((name) => asked.includes(name));
  const table = await writeDown(bench, isWhole ? RESULTS : resolve('dist/bench/results.json'));
  if (isWhole) await publish('bench', table);
  else if (asked.join() === Object.keys(CLIENTS).join()) await publish('bench-clients', table);
  else if (asked.join() === 'page') await publish('bench-page', table);
  else if (asked.join() === 'growth') await publish('bench-growth', table);
  process.stdout.write(`\n${table}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
