import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { start } from '../cli/cli.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, expectFitsEverywhere, screenshot } from './browser.js';
import { saveExample } from './example-runs.js';
import { drag, legend, settled } from './run-page.js';

const AREA = '.plot-host .u-over';
/** Of examples/welded_beam a solver that was stopped early has saved so many rows. */
const EARLY = 2000;

describeInBrowser('runs that are compared', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    client = createClient({ address: daemon.address });
    await saveExample(daemon.address, 'beam/whole', 'welded_beam', '--tag', 'team=wing', '--tag', 'budget=10000');
    await saveEarly(daemon.address, 'beam/early', '--tag', 'team=wing', '--tag', `budget=${EARLY}`);
    await saveExample(daemon.address, 'bnh', 'bnh');
    await saveExample(daemon.address, 'study', 'beam_optuna');
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  const open = (...keys: readonly string[]) => {
    const query = new URLSearchParams(keys.map((key) => ['key', key])).toString();
    return browser.page(`http://${webAddress(daemon)}/#/compare?${query}`);
  };

  test('are chosen among the runs by c; the table has what each came to, marks the best, and shows the tags that differ', async () => {
    const page = await browser.page(`http://${webAddress(daemon)}/#/?prefix=beam/&sort=key`);
    await page.getByLabel('Select beam/whole').click();
    await page.getByLabel('Select beam/early').click();
    await page.keyboard.press('c');
    await page.getByRole('heading', { name: '2 runs compared' }).waitFor();
    await page.getByRole('columnheader', { name: 'hypervolume' }).waitFor();
    const cells = async (key: string) => await page.getByRole('row', { name: key }).getByRole('cell').allInnerTexts();
    const [whole, early] = [await cells('beam/whole'), await cells('beam/early')];
    expect(whole[0]).toMatch(/budget\s*10000/);
    expect(early[0]).toMatch(new RegExp(`budget\\s*${EARLY}`));
    expect(whole[0]).not.toContain('wing');
    expect([whole[1], early[1]]).toEqual(['10,000', '2,000']);
    for (const [i, objective] of ['f1', 'f2'].entries())
      for (const [key, shown] of [
        ['beam/whole', whole],
        ['beam/early', early],
      ] as const)
        expect(Number(shown[3 + i])).toBeCloseTo(await bestOf(client, key, objective), 4);
    expect(Number(whole.at(-1))).toBeGreaterThan(Number(early.at(-1)));
    expect(await page.locator('td strong').allInnerTexts()).toEqual([whole[3], whole[4], whole[5]]);
    await settled(page);
    await expectAccessible(page);
    await screenshot(page, 'compare-1280');
    await page.goBack();
    await page.getByLabel('Select beam/whole').waitFor();
  });

  test('are switched off and on by the legend, in all plots', async () => {
    const page = await open('beam/whole', 'beam/early');
    const whole = page.getByRole('group', { name: 'Runs' }).getByRole('button', { name: 'beam/whole' });
    await whole.focus();
    await page.keyboard.press('Space');
    expect(await whole.getAttribute('aria-pressed')).toBe('false');
    await expect.poll(() => lines(page)).toEqual(['beam/early', 'beam/early', 'beam/early']);
    expect(await page.locator('.histogram').first().locator('.outline').count()).toBe(1);
    await page.keyboard.press('Space');
    await expect.poll(async () => (await lines(page)).length).toBe(6);
  });

  test('what is selected is counted by run, and cleared by Escape and where other rows are shown', async () => {
    const page = await open('beam/whole', 'beam/early');
    const { 'beam/whole': whole = 0, 'beam/early': early = 0 } = await legend(page);
    await settled(page);
    const all = async () => {
      const { width = 0, height = 0 } = (await page.locator(AREA).boundingBox()) ?? {};
      await drag(page, AREA, { x: 1, y: 1 }, { x: width - 2, y: height - 2 });
    };
    await all();
    const told = `${whole + early} of ${whole + early} rows selected: ${whole} of beam/whole, ${early} of beam/early`;
    await page.getByRole('status').filter({ hasText: told }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'compare-selected');
    await page.keyboard.press('Escape');
    await page.getByText('Drag to select rows').waitFor();
    await all();
    await page.getByText('rows selected').waitFor();
    await page.getByRole('button', { name: 'Feasible' }).click();
    await page.getByText('Drag to select rows').waitFor();
    expect((await legend(page))['beam/early']).toBeGreaterThan(early);
  });

  test('of different problems are compared in what they share, and it is said what they do not', async () => {
    const page = await open('beam/whole', 'bnh', 'beam/early');
    await legend(page);
    expect(await page.locator('.sample-note').innerText()).toBe(
      'Not compared, as not all runs share them: x1, x2, f2 (different units); x3, x4, g3, g4 (not in bnh).',
    );
    expect(await page.getByRole('columnheader').allInnerTexts()).toEqual(['Run', 'Rows', 'Front', 'best f1 ↓']);
    // One objective alone is not drawn against itself.
    expect(await page.locator('.axis-choice select').evaluateAll(valuesOf)).toEqual(['generation', 'f1']);
    await expectAccessible(page);
    await page.setViewportSize({ width: 1280, height: 1500 });
    await settled(page);
    await screenshot(page, 'compare-problems');
  });

  test('with nothing in common say so, beside the table of them', async () => {
    const page = await open('study', 'bnh');
    await page.getByRole('heading', { name: 'These runs have no column of numbers in common' }).waitFor();
    await page.getByRole('row', { name: 'study' }).getByText('1,200').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'compare-nothing-shared');
  });

  test('a fourth run is no front: all runs are seen at first', async () => {
    for (const name of ['3', '4']) await client.copyResult('beam/early', `beam/${name}`);
    const page = await open('beam/whole', 'beam/early', 'beam/3', 'beam/4', 'beam/whole');
    await page.getByRole('heading', { name: '4 runs compared' }).waitFor();
    await legend(page);
    expect(await page.getByRole('button', { name: 'Front', exact: true }).count()).toBe(0);
    expect(await page.getByText(/rows? outside/).count()).toBe(0);
  });

  test('one that was deleted is told of, the others are compared; it is left out', async () => {
    const page = await open('beam/whole', 'gone', 'beam/early');
    await page.getByRole('heading', { name: '2 of 3 runs compared' }).waitFor();
    await page.getByRole('alert').getByText('gone is not stored').waitFor();
    await legend(page);
    await expectAccessible(page);
    await screenshot(page, 'compare-missing');
    await page.getByRole('button', { name: 'Leave it out' }).click();
    await page.getByRole('heading', { name: '2 runs compared' }).waitFor();
    expect(new URL(page.url()).hash).toBe('#/compare?key=beam%2Fwhole&key=beam%2Fearly');
  });

  test('one alone, or none, says what to do', async () => {
    const page = await open('bnh');
    await page.getByRole('heading', { name: 'From two to 20 runs can be compared' }).waitFor();
    await page.getByRole('main').getByRole('link', { name: 'bnh' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'compare-one');
    await page.getByRole('main').getByRole('link', { name: 'runs' }).click();
    await page.getByLabel('Select bnh').waitFor();
  });

  test('one that is saved anew meanwhile is told, and loaded on demand; one deleted stays as it was', async () => {
    await saveExample(daemon.address, 'anew', 'bnh');
    const page = await open('bnh', 'anew');
    const rowCount = async () => (await page.getByRole('row', { name: 'anew' }).getByRole('cell').allInnerTexts())[1];
    await page.getByRole('columnheader', { name: 'hypervolume' }).waitFor();
    expect(await rowCount()).toBe('6,000');
    await saveExample(daemon.address, 'anew', 'bnh', '--append');
    await page.getByText('anew was saved anew, as revision 2.').waitFor();
    expect(await rowCount()).toBe('6,000');
    await page.getByRole('button', { name: 'Reload' }).click();
    await expect.poll(rowCount).toBe('12,000');
    await client.deleteResult('anew');
    await page.getByText('anew was deleted.').waitFor();
    expect(await rowCount()).toBe('12,000');
  });

  test('is accessible, and nothing sticks out sideways, from 375 pixels to 4K, and in the dark', async () => {
    const page = await open('beam/whole', 'beam/early');
    await legend(page);
    await page.getByRole('columnheader', { name: 'hypervolume' }).waitFor();
    await expectFitsEverywhere(page, 'compare');
  });
});

async function saveEarly(address: string, key: string, ...flags: readonly string[]): Promise<void> {
  const problem = ['--problem', 'examples/welded_beam.problem.json'];
  const saving = start(['save', key, '-', ...problem, '--server', address, ...flags]);
  const rows = (await readFile('examples/welded_beam.csv', 'utf8')).split('\n').slice(0, EARLY + 1);
  saving.print(`${rows.join('\n')}\n`);
  saving.closeInput();
  const { code, stderr } = await saving.ended();
  expect(code, stderr).toBe(0);
}

function valuesOf(selects: Element[]): string[] {
  return selects.map((select) => (select as HTMLSelectElement).value);
}

async function bestOf(client: OptistoreClient, key: string, objective: string): Promise<number> {
  const { columns } = await client.getResult(key);
  return columns.find(({ name }) => name === objective)?.best ?? NaN;
}

/** The names of the runs that have a line, plot by plot. */
async function lines(page: Page): Promise<string[]> {
  const texts = await page.locator('.line-plot .readout > span:not(.muted)').allInnerTexts();
  return texts.map((text) => text.trim().split(' ')[0] ?? '');
}
