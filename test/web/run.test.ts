import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { SetOperation } from '../../proto/gen/optistore/v1/result_pb.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, expectFitsEverywhere, screenshot } from './browser.js';
import { saveExample, type ExampleName } from './example-runs.js';
import { drag, legend, runAddress, settled } from './run-page.js';

const TABS = ['parallel', 'distributions', 'correlation', 'rows', 'sets', 'problem'] as const;

describeInBrowser('a run', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    client = createClient({ address: daemon.address });
    for (const name of ['welded_beam', 'beam_optuna', 'bnh', 'dtlz2'] as const)
      await saveExample(daemon.address, `real/${name}`, name);
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  const open = (key: string, query = '') => browser.page(runAddress(webAddress(daemon), key, query));

  test.each(['welded_beam', 'beam_optuna'] as const)(
    '%s: front, infeasible and dominated rows apart, as many as there are; the best of each objective',
    async (name) => {
      const page = await open(`real/${name}`);
      const { counts, best } = await expected(name);
      expect(await legend(page)).toEqual(counts);
      const convergence = page.getByRole('region', { name: 'Convergence' });
      for (const value of best) await convergence.getByText(`best ${value}`).waitFor();
      await convergence.getByText('share of the box').waitFor();
      await expectFitsEverywhere(page, `run-${name}`);
      await page.setViewportSize({ width: 1280, height: 800 });
      await screenshot(page, `run-${name}-1280`);
    },
  );

  test.each(TABS)('%s is accessible, and fits from 375 pixels to 4K, and in the dark', async (tab) => {
    const page = await open('real/welded_beam', `?tab=${tab}`);
    await page.getByRole('tabpanel').locator('.card, .empty').first().waitFor();
    await page.getByRole('tabpanel').locator('[aria-busy=true]').waitFor({ state: 'detached' });
    await expectFitsEverywhere(page, `run-${tab}`);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: 'light' });
    await screenshot(page, `run-${tab}-1280`);
  });

  test('sets of long names and lineages fit from 375 pixels to 4K, with what can be done in sight', async () => {
    const parents = ['the-knee-of-the-front', 'all_that_is_lighter_than_two_kilograms_and_stiff'];
    for (const name of parents) await client.putResultSet('real/dtlz2', name, { rows: [1, 2, 3] });
    const options = {
      createdBy: 'someone@institute.example.org',
      description: `https://example.org/${'a'.repeat(60)}`,
    };
    await client.putResultSet('real/dtlz2', 'both', { operation: SetOperation.UNION, parents }, options);
    const page = await open('real/dtlz2', '?tab=sets');
    await page.getByRole('button', { name: 'Delete both' }).waitFor();
    await expectFitsEverywhere(page, 'run-sets-long');
    await page.setViewportSize({ width: 375, height: 812 });
    const scroller = page.getByRole('region', { name: 'Table of result sets' });
    expect(await scroller.evaluate((element) => element.scrollWidth - element.clientWidth)).toBe(0);
    expect(await page.getByText(`${parents.join(' ∪ ')} · someone@`).isVisible()).toBe(true);
  });

  test('parallel coordinates tell which lines are the front, and fit where their axes do', async () => {
    const page = await open('real/welded_beam', '?tab=parallel');
    const plot = page.getByRole('group', { name: 'Parallel coordinates' });
    const front = (await expected('welded_beam')).counts['front'];
    await plot.getByText(`front ${front}`).waitFor();
    expect(await plot.evaluate((element) => element.scrollWidth - element.clientWidth)).toBe(0);
    expect(await plot.innerText()).not.toMatch(/[↑↓⇅]/);
    await page.getByRole('button', { name: /^f1/ }).click();
    expect(await page.getByRole('button', { name: /^f1/ }).innerText()).toContain('⇅');
    await page.getByRole('button', { name: 'Select the front' }).click();
    await plot.getByText(`selected ${front}`).waitFor();
  });

  test.each(['overview', 'parallel'])(
    '%s: the colours of a plot are those of the scheme, also when it is switched',
    async (tab) => {
      const page = await open('real/dtlz2', `?tab=${tab}`);
      const picture = async () => {
        await page.locator('canvas').first().waitFor();
        await settled(page);
        return await page.locator('canvas').first().screenshot();
      };
      const light = await picture();
      await page.emulateMedia({ colorScheme: 'dark' });
      const switched = await picture();
      await page.reload();
      const dark = await picture();
      expect(switched.equals(light)).toBe(false);
      expect(switched.equals(dark)).toBe(true);
    },
  );

  test('three objectives are seen in space, which a drag turns, and are brushed there', async () => {
    const page = await open('real/dtlz2');
    await legend(page);
    const area = page.locator('.scatter-area canvas');
    await settled(page);
    const before = await area.screenshot();
    await drag(page, '.scatter-area canvas', { x: 300, y: 200 }, { x: 400, y: 230 });
    await settled(page);
    expect((await area.screenshot()).equals(before)).toBe(false);
    await page.getByRole('button', { name: 'Select', exact: true }).click();
    await drag(page, '.scatter-area canvas', { x: 150, y: 100 }, { x: 450, y: 400 });
    await page.getByText(/^[\d,]+ of 9,100 rows selected$/).waitFor();
    await expectFitsEverywhere(page, 'run-space');
  });

  test('what is pointed at shows its design, with units', async () => {
    const page = await open('real/welded_beam');
    await legend(page);
    await page.getByRole('application').focus();
    await page.keyboard.press('ArrowRight');
    const card = page.locator('.hover-card');
    await card.waitFor();
    const row = Number((await card.locator('header b').innerText()).replace(/\D/g, ''));
    const run = await table('welded_beam');
    for (const column of ['x1', 'x4', 'f1', 'f2', 'g4']) {
      const shown = await card
        .locator('div', { has: page.locator(`dt:text-is("${column}")`) })
        .locator('dd')
        .innerText();
      expect(Number.parseFloat(shown.replace('−', '-'))).toBeCloseTo(Number(run[row]?.[column]), 3);
      if (column === 'x1') expect(shown).toMatch(/ in$/);
    }
    expect(await card.locator('header').innerText()).toContain('front');
    await screenshot(page, 'run-design');
  });

  test('the keyboard goes through the views, along the front, and selects', async () => {
    const page = await open('real/bnh');
    await legend(page);
    await page.getByRole('tab', { name: 'Overview' }).focus();
    await page.keyboard.press('ArrowRight');
    await page.getByRole('group', { name: 'Parallel coordinates' }).waitFor();
    expect(new URL(page.url()).hash).toContain('tab=parallel');
    await page.keyboard.press('Tab');
    await page.getByRole('button', { name: /axis 1 of/ }).focus();
    await page.keyboard.press('b');
    await page.getByText(/rows selected/).waitFor();
    await page.getByRole('tab', { name: 'Parallel' }).focus();
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('application').focus();
    await page.keyboard.press('Escape');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.getByText('1 of 6,000 rows selected').waitFor();
  });

  test('axes are chosen, logarithmic where that is possible, and remembered by the address', async () => {
    const page = await open('real/beam_optuna');
    await legend(page);
    await page.getByRole('combobox', { name: 'x' }).selectOption('params_material');
    await page.getByRole('combobox', { name: 'y' }).selectOption('user_attrs_cost_eur');
    await page.getByRole('button', { name: 'log y' }).first().click();
    expect(await page.getByRole('button', { name: 'log x' }).count()).toBe(0);
    await settled(page);
    await screenshot(page, 'run-categories');
    await page.reload();
    await legend(page);
    expect(await page.getByRole('combobox', { name: 'x' }).inputValue()).toBe('params_material');
  });

  test('rows are ordered by a click on a column, and copied as they are', async () => {
    const page = await open('real/bnh', '?tab=rows');
    const grid = page.getByRole('grid', { name: /rows/i });
    await grid.getByRole('button', { name: /^f1/ }).click();
    const values = (await table('bnh')).map(({ f1 }) => Number(f1)).sort((a, b) => a - b);
    await expect.poll(async () => Number(await cell(page, 0, 'f1'))).toBeCloseTo(values[0] ?? NaN, 3);
    await grid.getByRole('button', { name: /^f1/ }).click();
    await expect.poll(async () => Number(await cell(page, 0, 'f1'))).toBeCloseTo(values.at(-1) ?? NaN, 3);
    await grid.focus();
    await page.keyboard.press('End');
    await expect.poll(() => page.locator('.virtual-table .row.active').getAttribute('aria-rowindex')).toBe('6001');
    expect(await page.getByRole('row').count()).toBeLessThan(80);
    await page.getByRole('button', { name: 'Copy as TSV' }).click();
    await page.getByText(/copied/i).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    const rows = parse<Record<string, string>>(copied, { delimiter: '\t', columns: true });
    expect(rows.map(({ f1 }) => Number(f1))).toEqual(values.toReversed());
  });

  test('a run saved anew is told, and loaded on demand; one deleted stays as it was', async () => {
    const save = async (x: number[]) => {
      const writer = await client.save('again', PROBLEM);
      await writer.append({ x, label: x.map(String) });
      await writer.commit();
    };
    await save([1, 2, 3]);
    const page = await open('again');
    await page.getByText('3 rows').waitFor();
    await save([1, 2, 3, 4]);
    await page.getByText('This run was saved anew, as revision').waitFor();
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByText('4 rows').waitFor();
    await client.deleteResult('again');
    await page.getByText('This run was deleted.').waitFor();
    await page.getByText('4 rows').waitFor();
    await expectAccessible(page);
  });

  test('a run that is saved anew while its rows come is told so', async () => {
    const save = async (x: number[]) => {
      const writer = await client.save('meanwhile', PROBLEM);
      await writer.append({ x, label: x.map(String) });
      await writer.commit();
    };
    await save([1, 2, 3]);
    const page = await open('none yet');
    await page.getByText('There is no such run').waitFor();
    await page.route('**/LoadResult', async (route) => {
      const response = await route.fetch();
      await save([1, 2, 3, 4]);
      // The page is told of it by another stream.
      await new Promise((resolve) => setTimeout(resolve, 500));
      await route.fulfill({ response });
    });
    await page.goto(runAddress(webAddress(daemon), 'meanwhile'));
    await page.getByText('3 rows').waitFor();
    await page.getByText('This run was saved anew, as revision').waitFor();
    await page.unroute('**/LoadResult');
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByText('4 rows').waitFor();
  });

  test('where the analysis could not begin, that is told, and the next try begins it anew', async () => {
    const page = await open('none yet');
    await page.getByText('There is no such run').waitFor();
    await page.route('**/assets/worker-*', (route) =>
      route.fulfill({ contentType: 'text/javascript', body: 'throw new Error("broken")' }),
    );
    await page.goto(runAddress(webAddress(daemon), 'real/bnh'));
    await page.getByText(/The analysis failed: .*broken/).waitFor();
    await page.unroute('**/assets/worker-*');
    await page.getByRole('button', { name: 'Try again' }).click();
    expect((await legend(page))['front']).toBeGreaterThan(0);
  });

  test('a load that hears nothing of the daemon says so in the end, and is tried again', async () => {
    await using own = await TestDaemon.start('--web', '127.0.0.1:0');
    await saveExample(own.address, 'bnh', 'bnh');
    // The view is there, what it is to show is not.
    const page = await browser.page(`http://${webAddress(own)}/#/run/bnh`);
    await legend(page);
    await page.getByRole('link', { name: 'Runs' }).click();
    await page.getByRole('link', { name: 'bnh' }).waitFor();
    await page.clock.install();
    process.kill(own.process.pid, 'SIGSTOP');
    const failed = page.getByRole('alert').filter({ hasText: 'The daemon says nothing any more.' });
    try {
      await page.evaluate("location.hash = '#/run/bnh'");
      await page.getByRole('heading', { name: 'bnh' }).waitFor();
      await expect
        .poll(async () => {
          await page.clock.fastForward(125_000);
          return await failed.count();
        })
        .toBe(1);
    } finally {
      process.kill(own.process.pid, 'SIGCONT');
    }
    await page.getByRole('button', { name: 'Try again' }).click();
    expect((await legend(page))['front']).toBeGreaterThan(100);
  });

  test('a run without rows says so, and shows its problem', async () => {
    await (await client.save('none', PROBLEM)).commit();
    const page = await open('none');
    await page.getByText('This run has no rows').waitFor();
    await page.getByRole('region', { name: 'Problem', exact: true }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'run-no-rows');
  });

  test('a key that nothing is saved under leads back to the runs', async () => {
    const page = await open('nothing/here');
    await page.getByText('There is no such run').waitFor();
    await page.getByRole('link', { name: 'runs' }).last().click();
    await page.getByText('real/bnh').waitFor();
  });
});

async function table(name: ExampleName): Promise<Record<string, string>[]> {
  return parse<Record<string, string>>(await readFile(`examples/${name}.csv`), { columns: true });
}

interface Problem {
  readonly variables: readonly {
    readonly name: string;
    readonly role: string;
    readonly direction?: string;
    readonly upperBound?: number;
    readonly lowerBound?: number;
  }[];
}

/** What the page has to say of an example with objectives, told from its file by the definitions. */
async function expected(name: ExampleName): Promise<{ counts: Record<string, number>; best: string[] }> {
  const { variables } = JSON.parse(await readFile(`examples/${name}.problem.json`, 'utf8')) as Problem;
  const constraints = variables.filter(({ role }) => role.includes('CONSTRAINT'));
  const objectives = variables.filter(({ role }) => role === 'VARIABLE_ROLE_OBJECTIVE');
  const rows = await table(name);
  const isFeasible = (row: Record<string, string>) =>
    constraints.every(({ name: g, upperBound = Infinity, lowerBound = -Infinity }) => {
      const value = Number(row[g]);
      return value <= upperBound && value >= lowerBound;
    });
  const feasible = rows.filter(isFeasible);
  const points = feasible
    .filter((row) => objectives.every(({ name: f }) => row[f] !== ''))
    .map((row) =>
      objectives.map(({ name: f, direction }) => Number(row[f]) * (direction === 'DIRECTION_MAXIMIZE' ? -1 : 1)),
    );
  const isAhead = (a: number[], b: number[]) =>
    a.every((value, i) => value <= (b[i] ?? NaN)) && a.some((value, i) => value < (b[i] ?? NaN));
  // Of equal ones the first counts.
  const different = new Map(points.map((point) => [String(point), point]));
  const front = [...different.values()].filter((point) => !points.some((other) => isAhead(other, point))).length;
  const all = {
    infeasible: rows.length - feasible.length,
    dominated: points.length - front,
    'without objectives': feasible.length - points.length,
    front,
  };
  const best = objectives.map(({ direction }, i) => {
    const value = Math.min(...points.map((point) => point[i] ?? NaN));
    return String(Number((direction === 'DIRECTION_MAXIMIZE' ? -value : value).toPrecision(5)));
  });
  return { counts: Object.fromEntries(Object.entries(all).filter(([, count]) => count > 0)), best };
}

/** The text of a cell of the table of rows. */
async function cell(page: Page, row: number, column: string): Promise<string> {
  const head = page.getByRole('columnheader', { name: new RegExp(`^${column}`) });
  const index = await head.getAttribute('aria-colindex');
  const found = page.locator(`.virtual-table .row[aria-rowindex="${row + 2}"] [aria-colindex="${index}"]`);
  return (await found.innerText()).replace('−', '-');
}
