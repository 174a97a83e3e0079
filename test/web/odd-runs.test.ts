import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Direction, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible } from './browser.js';
import { legend, runAddress, settled } from './run-page.js';

const TABS = ['overview', 'parallel', 'distributions', 'correlation', 'rows', 'sets', 'problem'];

const column = (name: string, role: VariableRole, valueType = ValueType.FLOAT64) => ({ name, role, valueType });
const design = (name: string, valueType?: ValueType) => column(name, VariableRole.DESIGN_VARIABLE, valueType);
const observable = (name: string, valueType?: ValueType) => column(name, VariableRole.OBSERVABLE, valueType);
const objective = (name: string) => ({ ...column(name, VariableRole.OBJECTIVE), direction: Direction.MINIMIZE });

describeInBrowser('a run that is like no other', (browser) => {
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

  const open = (key: string, query = '') => browser.page(runAddress(webAddress(daemon), key, query));
  const save = async (key: string, problem: Parameters<OptistoreClient['save']>[1], columns: Columns) => {
    const writer = await client.save(key, problem);
    await writer.append(columns);
    await writer.commit();
  };
  /** The browser fails the test where a view complains. */
  const seeAll = async (page: Page) => {
    for (const tab of TABS) {
      await page.locator(`[role=tab][id$="-${tab}"]`).click();
      await page.getByRole('tabpanel').locator('.card, .empty').first().waitFor();
      await page.getByRole('tabpanel').locator('[aria-busy=true]').waitFor({ state: 'detached' });
      await settled(page);
    }
  };

  test('names that are HTML are shown as they are, everywhere', async () => {
    const name = '<img src=x onerror=alert(1)>';
    const problem = { name, solver: name, variables: [{ ...design(name), unit: '<u>' }, objective('f')] };
    await save(`runs/${name}/&"'%2F`, problem, { [name]: [1, 2, 3], f: [3, 1, 2] });
    const page = await open(`runs/${name}/&"'%2F`);
    await seeAll(page);
    expect(await page.locator('img').count()).toBe(0);
    await page.getByRole('link', { name: 'Runs' }).click();
    await page.getByText(`runs/${name}/&"'%2F`).first().waitFor();
    expect(await page.locator('img').count()).toBe(0);
  });

  test('of one row has a point in each plot', async () => {
    await save('one', { variables: [design('x'), objective('f1'), objective('f2')] }, { x: [1], f1: [2], f2: [3] });
    const page = await open('one');
    expect(await legend(page)).toEqual({ front: 1 });
    await page.getByText('best 2', { exact: true }).waitFor();
    await seeAll(page);
    await page.getByRole('tab', { name: 'Rows' }).click();
    await page.getByText('1 row', { exact: true }).last().waitFor();
    await page.getByRole('button', { name: 'Select the front' }).click();
    await page.getByText('1 of 1 row selected').waitFor();
    await page.getByRole('button', { name: 'Save as result set' }).click();
    await page.getByRole('dialog', { name: 'Save 1 row as a result set' }).waitFor();
  });

  test('without objectives, and of texts alone, shows what can be shown', async () => {
    const texts = observable('label', ValueType.STRING);
    await save(
      'none',
      { variables: [design('x'), observable('y'), texts] },
      { x: [1, 2], y: [3, 1], label: ['a', 'b'] },
    );
    const page = await open('none');
    expect(await legend(page)).toEqual({ feasible: 2 });
    await seeAll(page);
    await save('texts', { variables: [texts] }, { label: ['a', 'b', 'a'] });
    const other = await open('texts');
    await seeAll(other);
    await expectAccessible(other);
  });

  test('whose failures are the largest double, infinite, NaN or missing shows the others', async () => {
    const count = 120;
    const f1 = Array.from({ length: count }, (_, i) => [Number.MAX_VALUE, -Number.MAX_VALUE, i][i % 3] ?? 0);
    const f2 = Array.from({ length: count }, (_, i) => [Infinity, NaN, null, count - i][i % 4] ?? null);
    await save('penalties', { variables: [objective('f1'), objective('f2')] }, { f1, f2 });
    const page = await open('penalties');
    await legend(page);
    await settled(page);
    // Where points are, there is more than the axes and the ground.
    const colours = await page.evaluate<number>(`(() => {
      const canvas = document.querySelector('.plot-host canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    })()`);
    expect(colours).toBeGreaterThan(20);
    await seeAll(page);
  });

  test('imported from a file is listed by its own tags: checksums of the import are counted', async () => {
    const tags = { 'import.sha256': '8cb62947'.repeat(8), 'import.source': 'beam.csv', team: 'wing' };
    const writer = await client.save('imported', { variables: [design('x')] }, { tags });
    await writer.append({ x: [1] });
    await writer.commit();
    const page = await browser.page(`http://${webAddress(daemon)}/#/?prefix=imported`);
    const shown = page.locator('tr[data-key="imported"] .tags');
    await shown.waitFor();
    expect((await shown.innerText()).split(/\s+/)).toEqual(['team', 'wing', '+2']);
    expect(await shown.getByText('+2').getAttribute('title')).toContain('import.sha256 = 8cb62947');
  });

  test('of large whole numbers shows every digit of them', async () => {
    const start = 2n ** 53n + 1n;
    const id = BigInt64Array.from({ length: 100 }, (_, i) => start + BigInt(i));
    const f = Float64Array.from({ length: 100 }, (_, i) => -1.2345678e-300 * (i + 1));
    await save('digits', { variables: [observable('id', ValueType.INT64), objective('f')] }, { id, f });
    const page = await open('digits', '?tab=rows');
    await page.getByText(String(start + 3n), { exact: true }).waitFor();
    const cut = await page.evaluate<number>(
      `[...document.querySelectorAll('[role=gridcell]')].filter((cell) => cell.scrollWidth > cell.clientWidth).length`,
    );
    expect(cut).toBe(0);
  });

  test('of 400 columns is seen at once, with the columns that tell most', async () => {
    const names = Array.from({ length: 400 }, (_, i) => `a variable with a long name, number ${i}`);
    const variables = [...names.map((name) => design(name)), ...['f1', 'f2', 'f3', 'f4'].map(objective)];
    const noise = () => Float64Array.from({ length: 500 }, Math.random);
    await save('wide', { variables }, Object.fromEntries(variables.map(({ name }) => [name, noise()])));
    const page = await open('wide', '?tab=parallel');
    await page.getByText('12 of 404 columns').waitFor();
    for (const name of ['f1', 'f4']) await page.locator('.axis-head', { hasText: name }).waitFor();
    await seeAll(page);
    await page.getByRole('tab', { name: 'Overview' }).click();
    await page.getByText('share of the box, estimated').waitFor();
  });
});

type Columns = Parameters<Awaited<ReturnType<OptistoreClient['save']>>['append']>[0];
