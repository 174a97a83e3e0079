import type { LoadOptions, OptistoreClient } from '../../typescript/index.js';
import { connect } from '../connect.js';
import type { ChartSize } from '../plot/chart.js';
import { columnsOf, drawRun, viewOf, type View } from '../plot/draw-run.js';
import { RunRows } from '../plot/run-rows.js';
import { beginLoad } from '../output/begun-load.js';
import { selectionOf, type SelectionFlags } from '../selection.js';
import { print, printJson } from '../stdout.js';
import { LiveScreen } from '../terminal/live-screen.js';
import { whereItIs } from '../where-it-is.js';

/** Flags of `optistore plot`. */
export interface PlotFlags extends SelectionFlags {
  readonly server?: string;
  readonly json?: boolean;
  readonly x?: string;
  readonly y?: string;
  readonly convergence?: boolean;
  readonly all?: boolean;
  readonly width?: number;
  readonly height?: number;
  readonly ascii?: boolean;
  readonly follow?: boolean;
}

/** More points than a terminal can show, and less than a moment to load. */
const SAMPLE_ROWS = 200_000;
const REDRAW_MS = 500;
const COLUMNS_MAX = 120;
const LINES_MAX = 30;

/** `optistore plot`: a run in the terminal; with --json the numbers that would be drawn. */
export async function plot(key: string, flags: PlotFlags): Promise<void> {
  await using client = connect(flags);
  const { follow = false } = flags;
  try {
    await (follow ? plotLive(client, key, flags) : plotResult(client, key, flags));
  } catch (error) {
    throw await whereItIs(client, key, { command: 'plot', follow }, error);
  }
}

async function plotResult(client: OptistoreClient, key: string, flags: PlotFlags): Promise<void> {
  const { problem } = await client.getResult(key);
  const variables = problem?.variables ?? [];
  const view = viewOf(variables, flags);
  const needed = variables.filter(({ name }) => columnsOf(variables, view).includes(name));
  const isSampled = flags.set === undefined && flags.rows === undefined;
  const options: LoadOptions = {
    ...selectionOf(flags),
    columns: needed.map(({ name }) => name),
    ...(isSampled && { sampleRows: SAMPLE_ROWS }),
  };
  const rows = new RunRows(needed);
  for await (const batch of client.load(key, options)) rows.take(batch);
  if (flags.json) return printJson(numbersOf(key, rows, view));
  for (const line of drawRun(key, rows, view, needed, sizeFor(flags))) print(line);
}

/** Draws a save in progress as its rows come; in a pipe, once it is committed. */
async function plotLive(client: OptistoreClient, key: string, flags: PlotFlags): Promise<void> {
  const { header, batches } = await beginLoad(client.load(key, { follow: true }), true);
  const { variables } = header;
  const view = viewOf(variables, flags);
  const rows = new RunRows(variables);
  const draw = (size: ChartSize) => drawRun(key, rows, view, variables, size);
  const isLive = process.stdout.isTTY && !flags.json;
  using screen = isLive ? new LiveScreen(process.stdout, () => draw(sizeFor(flags))) : undefined;
  let drawnCount = -1;
  const redraw = () => {
    if (rows.rowCount === drawnCount) return;
    drawnCount = rows.rowCount;
    screen?.redraw();
  };
  const redrawing = setInterval(redraw, REDRAW_MS);
  try {
    for await (const batch of batches) rows.take(batch);
    redraw();
  } finally {
    clearInterval(redrawing);
  }
  if (flags.json) printJson(numbersOf(key, rows, view));
  else if (screen === undefined) for (const line of draw(sizeFor(flags))) print(line);
}

function numbersOf(key: string, rows: RunRows, view: View): object {
  // JSON has no word for NaN, which is on no plot anyway.
  if (view === 'convergence') {
    const { evaluations, values } = rows.convergence(1000);
    return { key, view, points: evaluations.map((evaluation, i) => ({ evaluation, value: values[i] })) };
  }
  const [xs, ys] = [rows.valuesOf(view.x.name) ?? [], rows.valuesOf(view.y.name) ?? []];
  const points = rows.kinds().map((kind, i) => ({ row: rows.numbers[i], x: xs[i], y: ys[i], kind }));
  return { key, view: 'scatter', x: view.x.name, y: view.y.name, points };
}

function sizeFor({ width, height, ascii }: PlotFlags): ChartSize {
  const { columns, rows } = process.stdout;
  return {
    columns: Math.max(width ?? Math.min((columns || 80) - 1, COLUMNS_MAX), 30),
    lines: Math.max(height ?? Math.min((rows || 24) - 2, LINES_MAX), 10),
    isAscii: ascii ?? !isUtf8(),
  };
}

/** Where nothing is said, terminals of today are. */
function isUtf8({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv = process.env): boolean {
  const locale = [LC_ALL, LC_CTYPE, LANG].find((one) => one !== undefined && one !== '');
  return locale === undefined || /utf-?8/i.test(locale);
}
