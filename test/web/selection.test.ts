import { parse } from 'csv-parse/sync';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Direction, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { run } from '../cli/cli.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, screenshot } from './browser.js';
import { saveExample } from './example-runs.js';
import { drag, legend, runAddress, settled } from './run-page.js';

const AREA = '.plot-host .u-over';
/** More than a page takes whole. */
const LARGE = 260_000;

type Row = Readonly<Record<string, number>>;

describeInBrowser('a selection', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    client = createClient({ address: daemon.address });
    await saveExample(daemon.address, 'beam', 'welded_beam');
    await saveExample(daemon.address, 'study', 'beam_optuna');
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  const open = (key: string, query = '') => browser.page(runAddress(webAddress(daemon), key, query));
  /** By the command, as a user does. */
  const load = async (key: string, ...args: readonly string[]): Promise<Row[]> => {
    const { code, stdout, stderr } = await run(['load', key, '--server', daemon.address, ...args]);
    expect(code, stderr).toBe(0);
    const rows = parse<Record<string, string>>(stdout, { columns: true });
    return rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])));
  };

  test('brushed in the scatter is saved as a result set, which the command loads: the rows in the brush and no others', async () => {
    const page = await open('beam');
    await legend(page);
    await drag(page, AREA, { x: 60, y: 120 }, { x: 260, y: 330 });
    const count = await selected(page);
    expect(count).toBeGreaterThan(100);
    await screenshot(page, 'run-brushed');
    await expectAccessible(page);
    await saveAs(page, 'knee', 'brushed by hand');
    const set = await load('beam', '--set', 'knee');
    expect(set).toHaveLength(count);
    const all = await load('beam');
    expect(all.filter((row) => isWithin(row, set, ['f1', 'f2']))).toEqual(set);
    expect(await client.getResult('beam')).toMatchObject({
      resultSets: [{ name: 'knee', description: 'brushed by hand', rowCount: BigInt(count) }],
    });
  });

  test('brushes on axes of parallel coordinates select the rows that are in all of them', async () => {
    const page = await open('study', '?tab=parallel');
    const canvas = page.locator('.parallel-canvas');
    await canvas.waitFor();
    await settled(page);
    const { width, height } = (await canvas.boundingBox()) ?? { width: 0, height: 0 };
    const heads = page.locator('.axis-head');
    const at = async (name: string) => {
      const head = (await heads.filter({ hasText: name }).boundingBox()) ?? { x: 0, width: 0 };
      return head.x + head.width / 2 - ((await canvas.boundingBox())?.x ?? 0);
    };
    const brushOn = async (name: string, from: number, to: number) => {
      const x = await at(name);
      expect(x).toBeLessThan(width);
      await drag(page, '.parallel-canvas', { x, y: height * from }, { x, y: height * to });
      await settled(page);
    };
    await brushOn('values_0', 0.6, 0.95);
    const first = await selected(page);
    await brushOn('values_1', 0.5, 0.9);
    const count = await selected(page);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(first);
    await screenshot(page, 'run-parallel-brushed');
    await saveAs(page, 'parallel');
    const set = await load('study', '--set', 'parallel');
    expect(set).toHaveLength(count);
    const all = await load('study');
    expect(all.filter((row) => isWithin(row, set, ['values_0', 'values_1']))).toHaveLength(count);
  });

  test('bars of a distribution, Shift and Alt: more, and fewer, are selected', async () => {
    const page = await open('beam', '?tab=distributions');
    const bars = page.locator('figure', { hasText: 'generation' }).locator('.bars');
    await bars.waitFor();
    const { width = 0, height = 0 } = (await bars.boundingBox()) ?? {};
    const click = (bin: number, ...modifiers: ('Shift' | 'Alt')[]) =>
      bars.click({ position: { x: (width * (bin + 0.5)) / 48, y: height - 4 }, modifiers });
    await click(0);
    const one = await selected(page);
    await click(20, 'Shift');
    const two = await selected(page);
    expect(two).toBeGreaterThan(one);
    await click(0, 'Alt');
    expect(await selected(page)).toBe(two - one);
    await screenshot(page, 'run-distributions-selected');
    await page.keyboard.press('Escape');
    await page.getByText('Drag in any plot to select rows').waitFor();
  });

  test('clicked in the table, and by Space and Shift, is the same in every view', async () => {
    const page = await open('study', '?tab=rows');
    const grid = page.getByRole('grid');
    await grid.locator('.row[aria-rowindex="4"]').click();
    expect(await selected(page)).toBe(1);
    await grid.locator('.row[aria-rowindex="8"]').click({ modifiers: ['Shift'] });
    expect(await selected(page)).toBe(5);
    await grid.focus();
    await page.keyboard.press('End');
    await page.keyboard.press('Space');
    expect(await selected(page)).toBe(6);
    await page.getByRole('tab', { name: 'Parallel' }).click();
    expect(await selected(page)).toBe(6);
    await page.getByRole('tab', { name: 'Rows' }).click();
    await page.getByRole('button', { name: 'Selected', exact: true }).click();
    await page.getByText('6 of 1,200 rows', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Clear' }).click();
    await page.getByText('No row is selected').waitFor();
  });

  test('sets are joined, shown in all views, replaced and deleted; what others do is seen', async () => {
    await client.putResultSet('study', 'low', { rows: [0, 1, 2, 3, 4, 5] });
    await client.putResultSet('study', 'high', { rows: [4, 5, 6, 7] });
    const page = await open('study', '?tab=sets');
    for (const [operation, count] of [
      ['Union', 8],
      ['Intersection', 2],
      ['Difference', 4],
    ] as const) {
      for (const name of ['low', 'high']) await page.getByLabel(`Choose ${name}`, { exact: true }).check();
      await page.getByRole('button', { name: operation }).click();
      await page.getByRole('textbox', { name: 'Name' }).fill(operation.toLowerCase());
      await page.getByRole('button', { name: 'Save', exact: true }).click();
      const row = page.getByRole('row', { name: new RegExp(`Choose ${operation.toLowerCase()}`) });
      await row.waitFor();
      expect(await row.locator('td.number').innerText()).toBe(String(count));
      for (const name of ['low', 'high']) await page.getByLabel(`Choose ${name}`, { exact: true }).uncheck();
      expect(await load('study', '--set', operation.toLowerCase())).toHaveLength(count);
    }
    await expectAccessible(page);
    await screenshot(page, 'run-sets-joined');
    const difference = page.getByRole('row', { name: /Choose difference/ });
    await difference.getByRole('button', { name: 'Show' }).click();
    expect(await selected(page)).toBe(4);
    await page.goBack();
    await saveAs(page, 'union', '', 'Replace');
    await expect.poll(async () => (await load('study', '--set', 'union')).length).toBe(4);
    await page.getByRole('button', { name: 'Delete high' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete the set' }).click();
    await page.getByLabel('Choose high', { exact: true }).waitFor({ state: 'detached' });
    await client.putResultSet('study', 'theirs', { rows: [9] });
    await page.getByLabel('Choose theirs', { exact: true }).waitFor();
  });

  test('of a set that is shown is seen in the overview, and Back leads to the sets', async () => {
    await client.putResultSet('beam', 'first', { rows: [0, 1, 2] });
    const page = await open('beam', '?tab=sets');
    await page
      .getByRole('row', { name: /Choose first/ })
      .getByRole('button', { name: 'Show' })
      .click();
    await page.getByRole('region', { name: 'Scatter' }).waitFor();
    expect(await selected(page)).toBe(3);
    expect(await page.getByRole('tab', { selected: true }).innerText()).toBe('Overview');
    await page.goBack();
    await page.getByLabel('Choose first').waitFor();
    expect(await selected(page)).toBe(3);
  });

  test('is told how it is made in the views where it can be, and nowhere else', async () => {
    const page = await open('beam');
    await legend(page);
    const bar = page.locator('.selection-bar [role=status]');
    for (const [tab, hint] of [
      ['Overview', /^Drag in any plot/],
      ['Parallel', /^Drag on any axis/],
      ['Distributions', /^Drag in any plot/],
      ['Correlation', /^$/],
      ['Rows', /^Click a row/],
      ['Sets', /^$/],
      ['Problem', /^$/],
    ] as const) {
      await page.getByRole('tab', { name: tab }).click();
      await expect.poll(() => bar.innerText(), { message: tab }).toMatch(hint);
    }
  });

  test('of a sampled run is of the right rows, and the page says that it is a sample', async () => {
    await saveLarge(client);
    const page = await open('large');
    await page.getByText(/A sample of 199,\d+ of 260,000 rows: the whole front \(260\), every extreme/).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'run-sampled');
    await page.getByRole('button', { name: 'Select the front' }).click();
    const count = await selected(page);
    await saveAs(page, 'front');
    const set = await load('large', '--set', 'front');
    expect(set).toHaveLength(count);
    // f2 is 1 − f1 on the front, and more elsewhere.
    for (const { f1, f2 } of set) expect(f2).toBeCloseTo(1 - (f1 ?? 0), 9);
  });
});

/** Rows near a front that each 1,000th is on. */
async function saveLarge(client: OptistoreClient): Promise<void> {
  const objective = { role: VariableRole.OBJECTIVE, direction: Direction.MINIMIZE, valueType: ValueType.FLOAT64 };
  const variables = [
    { name: 'f1', ...objective },
    { name: 'f2', ...objective },
  ];
  const writer = await client.save('large', { name: 'large', variables });
  for (let start = 0; start < LARGE; start += 20_000) {
    const f1 = Float64Array.from({ length: 20_000 }, (_, i) => (((start + i) * 0.618034) % 1) + 0);
    const f2 = f1.map((value, i) => 1 - value + ((start + i) % 1000 === 0 ? 0 : 0.01 + (((start + i) * 0.4142) % 1)));
    await writer.append({ f1, f2 });
  }
  await writer.commit();
}

/** How many rows the page says that are selected. */
async function selected(page: Page): Promise<number> {
  const bar = page.locator('.selection-bar.some [role=status]');
  await bar.waitFor();
  await settled(page);
  return Number((await bar.locator('b').innerText()).replaceAll(',', ''));
}

async function saveAs(page: Page, name: string, description = '', action = 'Save'): Promise<void> {
  await page.getByRole('button', { name: 'Save as result set' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Name' }).fill(name);
  await dialog.getByRole('textbox', { name: 'Description' }).fill(description);
  await expectAccessible(page);
  await dialog.getByRole('button', { name: action, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByText(`The result set ${name} is saved.`).last().waitFor();
}

/** Whether a row lies between the smallest and largest values of others. */
function isWithin(row: Row, others: readonly Row[], columns: readonly string[]): boolean {
  return columns.every((name) => {
    const values = others.map((one) => one[name] ?? NaN);
    const value = row[name] ?? NaN;
    return value >= Math.min(...values) && value <= Math.max(...values);
  });
}
