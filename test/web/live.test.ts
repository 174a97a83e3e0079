import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Direction, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { start, type Ended, type Running } from '../cli/cli.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { settled } from './run-page.js';
import { describeInBrowser, expectAccessible, expectFitsEverywhere, screenshot, type PageOptions } from './browser.js';

const [HEAD = '', ...ROWS] = (await readFile('examples/welded_beam.csv', 'utf8')).trimEnd().split('\n');

describeInBrowser('a save in progress', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    client = createClient({ address: daemon.address });
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  const open = (key: string, query = '', options?: PageOptions) =>
    browser.page(`http://${webAddress(daemon)}/#/live/${encodeURIComponent(key)}${query}`, options);

  test('is waited for, drawn as its rows come, on the same canvas, and at the commit it is the run', async () => {
    const page = await open('beam/1');
    await page.getByRole('heading', { name: 'Nothing is being saved under this key' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'live-none');
    await using solver = Solver.start(daemon.address, 'beam/1');
    solver.print(400);
    await expectRows(page, 400);
    const canvases = await page.evaluate(() => document.querySelectorAll('canvas').length);
    await page.evaluate(() => document.querySelectorAll('canvas').forEach((canvas) => (canvas.id = 'before')));
    solver.print(800);
    await expectRows(page, 1200);
    expect(await page.locator('canvas#before').count()).toBe(canvases);
    await page
      .getByText(/generation 12$/)
      .first()
      .waitFor();
    await expectAccessible(page);
    await screenshot(page, 'live-1280');
    await expectFitsEverywhere(page, 'live');
    expect((await solver.end()).code).toBe(0);
    await page.getByText('beam/1 is committed: 1,200 rows.').waitFor();
    expect(new URL(page.url()).hash).toBe('#/run/beam%2F1');
  });

  test('without a row yet says what is waited for', async () => {
    const writer = await client.save('beam/empty', { variables: [x, f] });
    const page = await open('beam/empty');
    await page.getByRole('heading', { name: 'No row has come yet' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'live-empty');
    await writer.append({ x: [1, 2], f: [3, 4] });
    await expectRows(page, 2);
    await client.abortUpload(writer.uploadId);
  });

  test('is shown in the same way, and still selected, when it has become the run', async () => {
    const writer = await client.save('selected', { variables: [x, f] });
    await writer.append(parabola(0, 100));
    const page = await open('selected', '?tab=rows&x=f&y=x');
    const third = page.locator('.virtual-table .row[aria-rowindex="4"]');
    await third.click();
    await page.getByText('1 of 100 rows selected').waitFor();
    await writer.append(parabola(1, 100));
    await page.getByText('1 of 200 rows selected').waitFor();
    await writer.commit();
    await page.getByRole('tab', { name: 'Sets' }).waitFor();
    await page.getByText('1 of 200 rows selected').waitFor();
    expect(await third.getAttribute('aria-selected')).toBe('true');
    expect(new URL(page.url()).hash).toBe('#/run/selected?tab=rows&x=f&y=x');
  });

  test('tells no rate before it was measured, here and in the list of runs', async () => {
    const writer = await client.save('slow', { variables: [x, f] });
    let isOver = false;
    const solving = (async () => {
      for (let i = 0; !isOver; i++) {
        await writer.append({ x: [i], f: [i * i] });
        await writer.flush();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
    try {
      for (const page of [await open('slow'), await browser.page(`http://${webAddress(daemon)}/#/`)]) {
        const rate = page.locator('.live-rate .rate, .uploads li:has-text("slow") .rate');
        await rate.waitFor();
        const told = new Set<string>();
        await expect
          .poll(async () => told.add(await rate.innerText()).size && [...told].at(-1), { interval: 50 })
          .toMatch(/^[1-9]/);
        expect([...told][0]).toBe('– rows/s');
        expect(told).not.toContain('0 rows/s');
      }
    } finally {
      isOver = true;
      await solving;
      await client.abortUpload(writer.uploadId);
    }
  });

  test('stands still while it is paused, says how many rows wait, and catches up', async () => {
    await using solver = Solver.start(daemon.address, 'beam/2');
    solver.print(300);
    const page = await open('beam/2');
    await expectRows(page, 300);
    await page.getByRole('button', { name: 'Pause' }).focus();
    await page.keyboard.press('Enter');
    solver.print(500);
    await page.getByText('500 of them not shown yet').waitFor();
    await expectRows(page, 300);
    await expectAccessible(page);
    await screenshot(page, 'live-paused');
    await page.keyboard.press('Enter');
    await expectRows(page, 800);
    expect(await page.getByText('not shown yet').count()).toBe(0);
    await page.keyboard.press('Space');
    solver.print(100);
    expect((await solver.end()).code).toBe(0);
    await page.getByText('It is committed. Resume shows the run as it was saved.').waitFor();
    await expectRows(page, 800);
    await screenshot(page, 'live-paused-committed');
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('beam/2 is committed: 900 rows.').waitFor();
  });

  test('that is aborted says so; what had come stays, and the next save of the key can be followed', async () => {
    await using solver = Solver.start(daemon.address, 'beam/3');
    solver.print(300);
    const page = await open('beam/3');
    await expectRows(page, 300);
    await client.abortUpload(uploadOf('beam/3'));
    await page.getByText('Upload beam-3 was aborted; its rows are gone.').waitFor();
    await expectRows(page, 300);
    expect(await page.getByRole('button', { name: 'Pause' }).count()).toBe(0);
    await expectAccessible(page);
    await screenshot(page, 'live-aborted');
    const next = await client.save('beam/3', { variables: [x, f] });
    await page.getByText('A new save of this key has begun since.').waitFor();
    await page.getByRole('button', { name: 'Follow it' }).click();
    await page.getByRole('heading', { name: 'No row has come yet' }).waitFor();
    await client.abortUpload(next.uploadId);
  });

  test('goes on after the daemon was killed and came back', async () => {
    await using own = await TestDaemon.start('--web', '127.0.0.1:0');
    const web = webAddress(own);
    await using solver = Solver.start(own.address, 'beam/4');
    solver.print(300);
    const page = await browser.page(`http://${web}/#/live/beam%2F4`);
    await expectRows(page, 300);
    await own.process.stop('SIGKILL');
    await page.getByRole('alert').getByText('Connection lost.').waitFor();
    await page.getByText('The plots stand still, and go on by themselves when the daemon is back.').waitFor();
    await expectRows(page, 300);
    await expectAccessible(page);
    await screenshot(page, 'live-lost');
    await own.restart('--web', web);
    solver.print(200);
    await expectRows(page, 500);
    await page.getByRole('alert').waitFor({ state: 'detached' });
    expect(await page.getByText('The plots stand still').count()).toBe(0);
    expect((await solver.end()).code).toBe(0);
    await page.getByText('beam/4 is committed: 500 rows.').waitFor();
    await page.getByText('revision 1').waitFor();
  });

  test('of more rows than the page keeps is thinned, and says so', async () => {
    const writer = await client.save('many', { variables: [x, f] });
    await writer.append(parabola(0));
    const page = await open('many');
    await expectRows(page, MANY);
    for (let i = 1; i <= 10; i++) await writer.append(parabola(i));
    await page.getByText(/^1\d\d,\d\d\d of 220,000 rows: the front, every improvement, the newest rows/).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'live-thinned');
    await writer.commit();
    await page.getByText('many is committed: 220,000 rows.').waitFor();
  });

  test('parallel coordinates that grow look as if all rows had come together', async () => {
    const writer = await client.save('grows', { variables: [x, f] });
    await writer.append(parabola(0, 3000));
    const page = await open('grows', '?tab=parallel');
    for (let i = 1; i <= 3; i++) {
      await page.getByRole('img', { name: `A line for each of ${i * 3000} rows` }).waitFor();
      await settled(page);
      await writer.append(parabola(i, 3000));
    }
    const whole = await open('grows', '?tab=parallel');
    const picture = (of: Page) => of.evaluate(() => document.querySelector('canvas')?.toDataURL());
    for (const one of [page, whole]) await one.getByRole('img', { name: 'A line for each of 12000 rows' }).waitFor();
    await expect.poll(async () => (await picture(page)) === (await picture(whole))).toBe(true);
    await client.abortUpload(writer.uploadId);
  });

  test('goes on after its connection died without a word', async () => {
    await using own = await TestDaemon.start('--web', '127.0.0.1:0');
    await using solver = Solver.start(own.address, 'beam/6');
    solver.print(300);
    const page = await browser.page(`http://${webAddress(own)}/#/live/beam%2F6`);
    await expectRows(page, 300);
    await page.clock.install();
    // From its next word on it is waited for by this clock.
    solver.print(100);
    await expectRows(page, 400);
    process.kill(own.process.pid, 'SIGSTOP');
    try {
      await page.clock.fastForward(41_000);
      await page.getByText('The plots stand still').waitFor();
    } finally {
      process.kill(own.process.pid, 'SIGCONT');
    }
    solver.print(100);
    await page.clock.fastForward(5000);
    await expectRows(page, 500);
  });

  test('is let go of by a page that nobody looks at, and caught up with when it is looked at again', async () => {
    const writer = await client.save('hidden', { variables: [x, f] });
    await writer.append(parabola(0, 100));
    const page = await open('hidden');
    await expectRows(page, 100);
    const streams = async () => Number((await client.getStatus()).streamCount);
    // The writer's, the page's events and the rows.
    await expect.poll(streams).toBe(3);
    await page.clock.install();
    await look(page, 'hidden');
    await page.clock.fastForward(61_000);
    await expect.poll(streams).toBe(1);
    await writer.append(parabola(1, 100));
    await writer.flush();
    await look(page, 'visible');
    await page.clock.fastForward(5000);
    await expectRows(page, 200);
    await client.abortUpload(writer.uploadId);
  });

  test('grows in each of its views, which are gone through by keyboard', async () => {
    await using solver = Solver.start(daemon.address, 'beam/5');
    solver.print(300);
    const page = await open('beam/5');
    await expectRows(page, 300);
    await page.getByRole('tab', { name: 'Overview' }).focus();
    const cells = () => page.locator('.correlation').innerText();
    const view = async (name: string) => {
      await page.keyboard.press('ArrowRight');
      await expect.poll(() => new URL(page.url()).hash).toContain(`tab=${name}`);
    };
    const isGood = async (name: string) => {
      await expectAccessible(page);
      await screenshot(page, `live-${name}`);
    };
    await view('parallel');
    solver.print(100);
    await page.getByRole('img', { name: 'A line for each of 400 rows' }).waitFor();
    await isGood('parallel');
    await view('distributions');
    solver.print(100);
    await page.getByRole('img', { name: 'f1: 500 values' }).waitFor();
    await isGood('distributions');
    await view('correlation');
    const before = await cells();
    solver.print(100);
    await expect.poll(cells).not.toBe(before);
    await isGood('correlation');
    await view('rows');
    solver.print(100);
    await page.getByRole('region', { name: 'Rows', exact: true }).getByText('700 rows').waitFor();
    await isGood('rows');
    await view('problem');
    // What is not known before the commit has no empty columns.
    expect((await page.getByRole('columnheader').allInnerTexts()).slice(-2)).toEqual(['Upper bound', 'Aim']);
    await isGood('problem');
  });
});

const x = { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 };
const f = {
  name: 'f',
  role: VariableRole.OBJECTIVE,
  valueType: ValueType.FLOAT64,
  direction: Direction.MINIMIZE,
};
const MANY = 20_000;

/** Its ends are reached in each part. */
function parabola(part: number, length = MANY) {
  const wave = (row: number) => Math.max(-5, Math.min(5, Math.sin(row * 12.9898) * 6));
  const values = Float64Array.from({ length }, (_, i) => wave(part * length + i));
  return { x: values, f: values.map((value) => value * value) };
}

/** The number of rows that the page draws. */
async function expectRows(page: Page, rowCount: number): Promise<void> {
  await page.getByRole('application', { name: `, ${rowCount} rows.` }).waitFor();
}

function look(page: Page, state: DocumentVisibilityState): Promise<void> {
  return page.evaluate((shown) => {
    Object.defineProperty(document, 'visibilityState', { value: shown, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, state);
}

/** An upload's id has no slash. */
function uploadOf(key: string): string {
  return key.replace('/', '-');
}

/** A solver in a process of its own, that prints rows of examples/welded_beam as NDJSON when it is told to. */
class Solver implements AsyncDisposable {
  private next = 0;

  private constructor(private readonly command: Running) {}

  static start(address: string, key: string): Solver {
    const problem = ['--problem', 'examples/welded_beam.problem.json'];
    return new Solver(start(['save', key, '-', ...problem, '--upload-id', uploadOf(key), '--server', address]));
  }

  print(count: number): void {
    const names = HEAD.split(',');
    for (const row of ROWS.slice(this.next, this.next + count)) {
      const cells = row.split(',').map(Number);
      this.command.print(`${JSON.stringify(Object.fromEntries(names.map((name, i) => [name, cells[i]])))}\n`);
    }
    this.next += count;
  }

  /** Says that it has come to its end. */
  end(): Promise<Ended> {
    this.command.closeInput();
    return this.command.ended();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.command[Symbol.asyncDispose]();
  }
}
