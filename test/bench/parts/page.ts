import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { DaemonProcess } from '../../../clients/cli/daemon-process.js';
import { createClient, type OptistoreClient, type ResultWriter } from '../../../clients/typescript/index.js';
import { Direction, ValueType, VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { launchChromium } from '../../web/chromium.js';
import { MAIN, type Bench } from '../bench.js';
import { median } from '../figures.js';

const PAGE = resolve('dist/web');
const PATIENCE_MS = 60_000;
const RUNS = 100;
const SMALL = 10_000;
const MILLION = 1_000_000;
const BATCH = 10_000;
/** Rows of a solver that is looked at, and how many more come how often. */
const LIVE = 100_000;
const LIVE_BATCH = 1000;
const LIVE_EACH_MS = 100;
const LIVE_MS = 10_000;
/** Moves of the pointer in a brush. */
const MOVES = 120;

const variable = (name: string, role: VariableRole, more: { direction?: Direction; upperBound?: number } = {}) => ({
  ...{ name, role, valueType: ValueType.FLOAT64, ...more },
});
const PROBLEM = {
  name: 'two objectives, two constraints',
  variables: [
    ...['x1', 'x2', 'x3', 'x4'].map((name) => variable(name, VariableRole.DESIGN_VARIABLE)),
    ...['f1', 'f2'].map((name) => variable(name, VariableRole.OBJECTIVE, { direction: Direction.MINIMIZE })),
    ...['g1', 'g2'].map((name) => variable(name, VariableRole.INEQUALITY_CONSTRAINT, { upperBound: 0 })),
    variable('generation', VariableRole.OBSERVABLE),
  ],
};

/** Rows that come nearer to a front as a solver's do. */
async function appendRows(writer: ResultWriter, from: number, count: number, total: number): Promise<void> {
  const column = (value: (row: number) => number) => Float64Array.from({ length: count }, (_, i) => value(from + i));
  const x1 = column(Math.random);
  const away = (row: number) => (1.1 - row / total) * Math.random();
  await writer.append({
    ...{ x1, x2: column(Math.random), x3: column(Math.random), x4: column(Math.random) },
    f1: column((row) => (x1[row - from] ?? 0) + away(row)),
    f2: column((row) => 1 - Math.sqrt(x1[row - from] ?? 0) + away(row)),
    g1: column(() => Math.random() - 0.9),
    g2: column(() => Math.random() - 0.95),
    generation: column((row) => Math.floor(row / 1000)),
  });
}

async function saveRun(client: OptistoreClient, key: string, rows: number): Promise<void> {
  const writer = await client.save(key, PROBLEM);
  for (let row = 0; row < rows; row += BATCH) await appendRows(writer, row, Math.min(BATCH, rows - row), rows);
  await writer.commit();
}

const TWO_FRAMES = `new Promise((resolve) =>
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))))`;
const FRAMES_UNTIL_TOLD = `new Promise((resolve) => {
  const times = [];
  let lastMs = performance.now();
  const next = () => {
    const nowMs = performance.now();
    times.push(nowMs - lastMs);
    lastMs = nowMs;
    if (document.title === 'measured') resolve(times);
    else requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})`;

/** Milliseconds from the entry of an address, in a browser that has not been there, until what it names was drawn. */
async function opened(
  browser: Browser,
  url: string,
  seen: string,
): Promise<{ page: Page; tookMs: number; [Symbol.asyncDispose](): Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  await page.goto(url, { waitUntil: 'commit' });
  await page.locator(seen).first().waitFor();
  const tookMs = await page.evaluate<number>(TWO_FRAMES);
  return { page, tookMs, [Symbol.asyncDispose]: () => context.close() };
}

/** Milliseconds from frame to frame while something is done, sorted. */
async function frames(page: Page, act: () => Promise<void>): Promise<number[]> {
  const ended = page.evaluate<number[]>(FRAMES_UNTIL_TOLD);
  await act();
  await page.evaluate("document.title = 'measured'");
  return (await ended).sort((a, b) => a - b);
}

function addFrames({ figures }: Bench, id: string, what: string, sorted: readonly number[]): void {
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
  figures.add({ id: `page_${id}_frame`, what: `${what}: a frame`, unit: 'ms', aim: '16.7 is the screen’s' }, at(0.5));
  figures.add({ id: `page_${id}_frame_p95`, what: `${what}: a frame, p95`, unit: 'ms' }, at(0.95));
  figures.add({ id: `page_${id}_frame_max`, what: `${what}: the longest frame`, unit: 'ms' }, at(1));
}

/** Draws a brush over a part of an element, from one share of its size to another. */
async function brush(
  page: Page,
  selector: string,
  from: readonly [number, number],
  to: readonly [number, number],
): Promise<void> {
  const box = await page.locator(selector).first().boundingBox();
  if (box === null) throw new Error(`${selector} is not seen`);
  const place = (share: number) =>
    [0, 1].map((i) => {
      const [start = 0, end = 0] = [from[i], to[i]];
      return (i === 0 ? box.x : box.y) + (i === 0 ? box.width : box.height) * (start + (end - start) * share);
    }) as [number, number];
  await page.mouse.move(...place(0));
  await page.mouse.down();
  for (let i = 1; i <= MOVES; i++) await page.mouse.move(...place(i / MOVES));
  await page.mouse.up();
}

async function measureSize({ figures }: Bench): Promise<void> {
  const files = (await readdir(PAGE, { withFileTypes: true, recursive: true })).filter((file) => file.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => gzipSync(await readFile(join(parentPath, name)), { level: 9 }).length),
  );
  const kilobytes = sizes.reduce((sum, size) => sum + size, 0) / 1000;
  figures.add({ id: 'page_size', what: 'the page, all of it, gzipped', unit: 'KB', aim: '< 400' }, kilobytes);
}

async function measureBrushes(bench: Bench, browser: Browser, url: string): Promise<void> {
  await using scatter = await opened(browser, url, '.legend button');
  const scattered = await frames(scatter.page, () => brush(scatter.page, '.u-over', [0.1, 0.1], [0.8, 0.9]));
  addFrames(bench, 'brush', 'a brush over 200,000 points of a scatter', scattered);
  await using parallel = await opened(browser, `${url}?tab=parallel`, '.parallel-canvas');
  await parallel.page.waitForTimeout(1000);
  const lines = await frames(parallel.page, () => brush(parallel.page, '.parallel-canvas', [0.045, 0.2], [0.045, 0.8]));
  addFrames(bench, 'parallel', 'a brush over 200,000 lines of parallel coordinates', lines);
}

async function measureLive(bench: Bench, browser: Browser, client: OptistoreClient, web: string): Promise<void> {
  const writer = await client.save('live', PROBLEM);
  for (let row = 0; row < LIVE; row += BATCH) await appendRows(writer, row, BATCH, 2 * LIVE);
  await writer.flush();
  await using live = await opened(browser, `${web}#/live/live`, '.legend button');
  await live.page.waitForTimeout(2000);
  const times = await frames(live.page, async () => {
    for (let i = 0; i < LIVE_MS / LIVE_EACH_MS; i++) {
      const next = live.page.waitForTimeout(LIVE_EACH_MS);
      await appendRows(writer, LIVE + i * LIVE_BATCH, LIVE_BATCH, 2 * LIVE);
      await writer.flush();
      await next;
    }
  });
  addFrames(bench, 'live', '100,000 rows live, and 1,000 more ten times a second', times);
  await client.abortUpload(writer.uploadId);
}

/** The page in Chromium, without a GPU: when it is seen, and how smooth it is. */
export function page(bench: Bench): Promise<void> {
  return bench.figures.orLeaveOut('the page', () => measured(bench)).then(() => undefined);
}

async function measured(bench: Bench): Promise<void> {
  const { figures, folder, times } = bench;
  await measureSize(bench);
  const flags = ['--path', join(folder, 'page'), '--listen', '127.0.0.1:0', '--web', '127.0.0.1:0'];
  await using daemon = await DaemonProcess.start(flags, MAIN);
  const web = `http://${daemon.web ?? ''}/`;
  const client = createClient({ address: daemon.address });
  const browser = await launchChromium();
  try {
    for (let i = 0; i < RUNS; i++) await saveRun(client, `runs/${i}`, 100);
    await saveRun(client, 'small', SMALL);
    await saveRun(client, 'million', MILLION);
    const look = async (id: string, what: string, address: string, seen: string, aim?: string) => {
      const tries: number[] = [];
      for (let i = 0; i < 3; i++) {
        await using one = await opened(browser, `${web}${address}`, seen);
        tries.push(one.tookMs);
      }
      figures.add({ id: `page_${id}`, what, unit: 'ms', aim }, median(tries));
    };
    for (let i = 0; i < times; i++) {
      await look('runs', 'the page is opened until runs are seen', '', 'tr[data-key]', '< 1,000');
      await look('small', 'a run of 10,000 rows, until its front is drawn', '#/run/small', '.legend button');
      await look('million', 'a run of a million rows, the same', '#/run/million', '.legend button', '< 3,000');
      await measureBrushes(bench, browser, `${web}#/run/million`);
      await measureLive(bench, browser, client, web);
    }
  } finally {
    await browser.close();
    client.close();
  }
}
