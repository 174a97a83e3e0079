import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Page } from 'playwright-core';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Outcome } from '../../proto/gen/optistore/v1/result_pb.js';
import { run } from '../cli/cli.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, expectFitsEverywhere, screenshot } from './browser.js';
import { saveExample } from './example-runs.js';

/** As many as two pages hold, and some. */
const SWEEP = 110;

describeInBrowser('runs', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    client = createClient({ address: daemon.address });
    for (let i = 0; i < SWEEP; i++) await save(`sweep/${String(i).padStart(3, '0')}`);
    await saveExample(daemon.address, 'bench/bnh', 'bnh', '--tag', 'suite=mop');
    await saveExample(daemon.address, 'bench/dtlz2', 'dtlz2', '--tag', 'suite=mop', '--tag', 'pop size=92');
    await saveExample(daemon.address, 'studies/optuna', 'beam_optuna', '--tag', 'team=wing');
    await saveExample(daemon.address, 'studies/beam', 'welded_beam', '--tag', 'team=wing');
    await client.updateResult('bench/bnh', { outcome: Outcome.FAILED });
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  const open = (query = '') => browser.page(`http://${webAddress(daemon)}/#/${query}`);
  const filter = (text: string) => `?filter=${encodeURIComponent(text)}`;
  const save = async (key: string, tags: Record<string, string> = {}) => {
    const writer = await client.save(key, PROBLEM, { tags });
    await writer.append({ x: [1, 2, 3], label: ['a', 'b', 'c'] });
    return await writer.commit();
  };

  test('lists what was saved last first, with rows, best values, outcome and tags', async () => {
    const page = await open();
    await row(page, 'studies/beam').waitFor();
    expect(await keysOf(page)).toEqual([
      ...['studies/beam', 'studies/optuna', 'bench/dtlz2', 'bench/bnh'],
      ...Array.from({ length: 46 }, (_, i) => `sweep/${String(SWEEP - 1 - i).padStart(3, '0')}`),
    ]);
    const beam = await row(page, 'studies/beam').innerText();
    for (const text of ['welded beam', 'pymoo NSGA2', '10,000', 'f1 2.87', 'finished', 'team\nwing', 'KiB'])
      expect(beam).toContain(text);
    expect(await row(page, 'bench/bnh').innerText()).toContain('failed');
    const title = await row(page, 'studies/beam').locator('time:visible').getAttribute('title');
    expect(title).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(\d{4}-\d\d-\d\dT.*Z\)$/);
    await expectAccessible(page);
    await screenshot(page, 'runs-1280');
  });

  test('a filter narrows the list, is in the address, and Back undoes it', async () => {
    const page = await open();
    await page.keyboard.press('/');
    await page.keyboard.type('tags.team = wing AND best.f1 < 3');
    await page.keyboard.press('Enter');
    await expectKeys(page, ['studies/beam']);
    expect(new URL(page.url()).hash).toContain('filter=tags.team');
    await page.goBack();
    await row(page, 'bench/bnh').waitFor();
    expect(await page.getByLabel('Filter', { exact: true }).inputValue()).toBe('');
  });

  test('a filter that can’t be read is marked where that is, and says what was expected', async () => {
    const page = await open(filter('tags.ümlaut = "🙂" AND best.f1 <> 3'));
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').innerText()).toMatch(
      /^The filter can’t be read at character 32: > where .+ was expected\.$/,
    );
    expect(await page.locator('.behind mark').textContent()).toBe('>');
    const field = page.getByLabel('Filter', { exact: true });
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    // The mark lies where the character is written.
    const [mark, input] = [await page.locator('.behind mark').boundingBox(), await field.boundingBox()];
    const character = await page.evaluate(() => {
      const style = getComputedStyle(document.querySelector('input[data-search]') as Element);
      const context = document.createElement('canvas').getContext('2d') as CanvasRenderingContext2D;
      context.font = style.font;
      return context.measureText('tags.ümlaut = "🙂" AND best.f1 <').width;
    });
    expect(Math.abs((mark?.x ?? 0) - (input?.x ?? 0) - character)).toBeLessThan(2);
    await expectAccessible(page);
    await screenshot(page, 'runs-filter-error');
    await field.fill('best.f1 < 3');
    await field.press('Enter');
    await row(page, 'studies/beam').waitFor();
    expect(await field.getAttribute('aria-invalid')).toBe('false');
  });

  test('a word that is no filter is offered as the beginning of keys', async () => {
    const page = await open(filter('bench'));
    await page.getByRole('button', { name: 'Keys that begin with bench' }).click();
    await expectKeys(page, ['bench/dtlz2', 'bench/bnh']);
  });

  test('a click on a tag, or on a solver, adds it to the filter', async () => {
    const page = await open();
    await row(page, 'bench/dtlz2').getByText('pop size').click();
    await expectKeys(page, ['bench/dtlz2']);
    await row(page, 'bench/dtlz2').getByText('suite').click();
    const field = page.getByLabel('Filter', { exact: true });
    await expect.poll(() => field.inputValue()).toBe('tags."pop size" = "92" AND tags.suite = "mop"');
    await field.fill('');
    await field.press('Enter');
    await row(page, 'studies/beam').getByRole('button', { name: 'pymoo NSGA2' }).click();
    await expect.poll(() => field.inputValue()).toBe('solver = "pymoo NSGA2"');
  });

  test('says where nothing matches, and goes back to all', async () => {
    const page = await open(filter('tags.team = nobody'));
    await page.getByText('No run matches').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Show all runs' }).click();
    await row(page, 'studies/beam').waitFor();
  });

  test('sorts by key and by time, both ways', async () => {
    const page = await open('?prefix=bench/');
    await expectKeys(page, ['bench/dtlz2', 'bench/bnh']);
    await page.getByRole('button', { name: 'Key', exact: true }).click();
    await expectKeys(page, ['bench/bnh', 'bench/dtlz2']);
    await page.getByRole('button', { name: 'Key', exact: true }).click();
    await expectKeys(page, ['bench/dtlz2', 'bench/bnh']);
    expect(await page.getByRole('columnheader', { name: 'Key' }).getAttribute('aria-sort')).toBe('descending');
    await page.getByLabel('Order').selectOption('Changed last');
    await expectKeys(page, ['bench/bnh', 'bench/dtlz2']);
    await page.getByRole('button', { name: 'Changed' }).click();
    await expectKeys(page, ['bench/dtlz2', 'bench/bnh']);
    expect(new URL(page.url()).hash).toContain('sort=update_time');
  });

  test('goes from page to page, also by Back, and by a link', async () => {
    const page = await open('?prefix=sweep/&sort=key');
    await row(page, 'sweep/000').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await row(page, 'sweep/050').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await row(page, 'sweep/109').waitFor();
    expect((await keysOf(page)).length).toBe(10);
    expect(await page.getByRole('button', { name: 'Next' }).getAttribute('title')).toBe('This is the last page.');
    await page.getByRole('button', { name: 'Previous' }).click();
    await row(page, 'sweep/050').waitFor();
    await page.goBack();
    await row(page, 'sweep/109').waitFor();
    const second = await browser.page(page.url());
    await row(second, 'sweep/109').waitFor();
    await second.getByRole('button', { name: 'First' }).click();
    await row(second, 'sweep/000').waitFor();
  });

  test('who comes back from a run is where they were, and sees what came meanwhile', async () => {
    const page = await open();
    await row(page, 'sweep/070').scrollIntoViewIfNeeded();
    const top = await page.evaluate(() => scrollY);
    expect(top).toBeGreaterThan(500);
    await row(page, 'sweep/070').getByRole('link').click();
    await page.waitForURL(/#\/run\//);
    await save('back/meanwhile');
    await page.goBack();
    await row(page, 'back/meanwhile').waitFor();
    await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(top - 100);
    await client.deleteResult('back/meanwhile');
  });

  test('the list looks the same whether a run was looked at before or not', async () => {
    const page = await open('?prefix=studies/');
    await page.getByLabel('Select studies/beam').click();
    const looks = async () => {
      await page.getByText('1 selected').waitFor();
      return await page.evaluate(() =>
        [
          ...document.querySelectorAll(
            '.runs th, .runs td, .runs td *, [aria-label=Selection], [aria-label=Selection] *',
          ),
        ].map((shown) => `${shown.tagName} ${shown.className} ${Math.round(shown.getBoundingClientRect().height)}`),
      );
    };
    const before = await looks();
    await row(page, 'studies/beam').getByRole('link').click();
    await page.getByRole('tab', { name: 'Problem' }).click();
    await page.getByRole('region', { name: 'Problem', exact: true }).waitFor();
    await page.goBack();
    await page.goBack();
    await row(page, 'studies/beam').waitFor();
    expect(await looks()).toEqual(before);
  });

  test('a save in progress grows as its rows come, and can be aborted', async () => {
    const page = await open();
    const writer = await client.save('live/growing', PROBLEM, { uploadId: 'growing-1' });
    const panel = page.getByRole('region', { name: 'save in progress' });
    await panel.getByText('connected').waitFor();
    for (const rows of ['2 rows', '4 rows', '6 rows']) {
      await writer.append({ x: [1, 2], label: ['a', 'b'] });
      await writer.flush();
      await panel.getByText(rows).waitFor();
    }
    await panel.getByText(/^[\d.]+ rows\/s$/).waitFor();
    expect(await panel.getByRole('img', { name: /Rows per second of live\/growing/ }).count()).toBe(1);
    await expectAccessible(page);
    await screenshot(page, 'runs-live');
    await panel.getByRole('button', { name: 'Abort the save of live/growing' }).click();
    expect(await page.getByRole('dialog').innerText()).toContain('growing-1');
    await page.getByRole('button', { name: 'Abort the save', exact: true }).click();
    await panel.waitFor({ state: 'detached' });
    await expect(writer.commit()).rejects.toThrow(/aborted/i);
  });

  test('a commit appears, a change is shown and a deletion vanishes without a reload', async () => {
    const page = await open('?prefix=now/');
    await page.getByText('No run matches').waitFor();
    await save('now/a', { team: 'wing' });
    await row(page, 'now/a').waitFor();
    await save('now/b');
    await row(page, 'now/b').waitFor();
    expect(await row(page, 'now/b').getAttribute('class')).toContain('fresh');
    await client.updateResult('now/a', { tags: { team: 'tail' } });
    await row(page, 'now/a').getByText('tail').waitFor();
    await client.deleteResult('now/b');
    await expectKeys(page, ['now/a']);
    await client.deleteResult('now/a');
    await page.getByText('No run matches').waitFor();
  });

  test('a list that takes longer than commits are apart still comes to its end', async () => {
    const page = await open('?prefix=busy/');
    await page.getByText('No run matches').waitFor();
    await page.route('**/ListResults', async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await route.continue();
    });
    const shown = row(page, 'busy/0').waitFor();
    let isShown = false;
    void shown.then(() => (isShown = true));
    let count = 0;
    for (; !isShown && count < 40; count++) {
      await save(`busy/${count}`);
      await Promise.race([shown, new Promise((resolve) => setTimeout(resolve, 250))]);
    }
    expect(count).toBeLessThan(40);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    for (let i = 0; i < count; i++) await client.deleteResult(`busy/${i}`);
  });

  test('while another page is read nothing moves: new results are counted, and shown on demand', async () => {
    const page = await open('?filter=' + encodeURIComponent('NOT tags.hidden:*'));
    await row(page, 'studies/beam').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await row(page, 'sweep/030').waitFor();
    const before = await keysOf(page);
    await save('later/hidden', { hidden: 'yes' });
    await save('later/one');
    await save('later/two');
    await page.getByRole('button', { name: '2 new results' }).waitFor();
    await client.updateResult('sweep/030', { tags: { touched: 'yes' } });
    await row(page, 'sweep/030').getByText('touched').waitFor();
    expect(await keysOf(page)).toEqual(before);
    await page.getByRole('button', { name: '2 new results' }).click();
    await row(page, 'later/two').waitFor();
    for (const key of ['later/hidden', 'later/one', 'later/two']) await client.deleteResult(key);
  });

  test('several are selected and deleted, after it was said what goes; one that was changed meanwhile stays', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await save(`old/${name}`);
    const page = await open('?prefix=old/&sort=key');
    await page.getByLabel('Select old/a').click();
    await page.getByLabel('Select old/c').click({ modifiers: ['Shift'] });
    await page.getByText('3 selected').waitFor();
    await page.getByRole('button', { name: 'Delete…' }).click();
    const dialog = page.getByRole('dialog');
    expect(await dialog.innerText()).toMatch(/Delete 3 results\?[^]*old\/a[^]*old\/b[^]*old\/c[^]*9 rows/);
    await expectAccessible(page);
    await screenshot(page, 'runs-delete');
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect(await keysOf(page)).toEqual(['old/a', 'old/b', 'old/c', 'old/d']);
    await page.keyboard.press('Delete');
    await dialog.waitFor();
    await client.updateResult('old/b', { tags: { kept: 'yes' } });
    await dialog.getByRole('button', { name: 'Delete 3 results' }).click();
    await page.getByText('Not deleted: old/b: it was changed meanwhile, and is left alone.').waitFor();
    await expectKeys(page, ['old/b', 'old/d']);
    for (const key of ['old/b', 'old/d']) await client.deleteResult(key);
  });

  test('by keyboard alone: to the list, from row to row, select, compare, back, and open', async () => {
    const page = await open('?prefix=studies/');
    await row(page, 'studies/beam').waitFor();
    await page.getByLabel('Order').focus();
    // Over what selects all, the heads that sort and what selects the first.
    for (let i = 0; i < 5; i++) await page.keyboard.press('Tab');
    await expect.poll(() => focused(page)).toBe('studies/beam');
    await page.keyboard.press('Space');
    await page.keyboard.press('ArrowDown');
    await expect.poll(() => focused(page)).toBe('studies/optuna');
    await page.keyboard.press('Space');
    await page.keyboard.press('c');
    await expect.poll(() => new URL(page.url()).hash).toBe('#/compare?key=studies%2Fbeam&key=studies%2Foptuna');
    await page.goBack();
    await page.keyboard.press('g');
    await page.keyboard.press('s');
    await page.getByRole('heading', { name: 'Status' }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('r');
    await row(page, 'studies/optuna').getByRole('link').focus();
    await page.keyboard.press('Enter');
    await expect.poll(() => new URL(page.url()).hash).toBe('#/run/studies%2Foptuna');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  test('arrow keys go into the list right after a load, and stay with a field, a menu and a dialog', async () => {
    const page = await open('?prefix=studies/');
    await row(page, 'studies/beam').waitFor();
    await page.keyboard.press('ArrowDown');
    await expect.poll(() => focused(page)).toBe('studies/beam');
    await page.keyboard.press('ArrowDown');
    await expect.poll(() => focused(page)).toBe('studies/optuna');
    await page.keyboard.press('Space');
    await page.getByText('1 selected').waitFor();
    await page.keyboard.press('Enter');
    await expect.poll(() => new URL(page.url()).hash).toBe('#/run/studies%2Foptuna');
    await page.goBack();
    await row(page, 'studies/beam').waitFor();
    await page.keyboard.press('ArrowUp');
    await expect.poll(() => focused(page)).toBe('studies/beam');
    await page.getByLabel('Filter', { exact: true }).focus();
    await page.keyboard.press('ArrowDown');
    expect(await focused(page)).toBeUndefined();
    await page.getByLabel('Actions for studies/optuna').click();
    await page.keyboard.press('ArrowDown');
    expect(await page.locator(':focus').getAttribute('role')).toBe('menuitem');
    await page.keyboard.press('Escape');
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('ArrowDown');
    expect(await focused(page)).toBeUndefined();
  });

  test('a menu has what can be done with one: its key is copied', async () => {
    const page = await open('?prefix=studies/');
    await page.getByLabel('Actions for studies/beam').click();
    await expectAccessible(page);
    await page.getByRole('menuitem', { name: 'Copy the key' }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('studies/beam');
  });

  test('is accessible, and nothing sticks out sideways, from 375 pixels to 4K, and in the dark', async () => {
    const page = await open();
    await row(page, 'studies/beam').waitFor();
    await expectFitsEverywhere(page, 'runs');
  });
});

describeInBrowser('runs of an empty store', (browser) => {
  test('says how a first run is saved, and shows it once it is', async () => {
    await using daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    const page = await browser.page(`http://${webAddress(daemon)}/`);
    await page.getByText('No runs yet').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'runs-empty');
    const [npx, name, ...args] = (await page.locator('pre.command').innerText()).split(' ');
    expect([npx, name]).toEqual(['npx', 'optistore']);
    expect((await run([...args, '--server', daemon.address])).code).toBe(0);
    await row(page, 'runs/beam').waitFor();
  });
});

function row(page: Page, key: string) {
  return page.locator(`tr[data-key="${key}"]`);
}

function keysOf(page: Page): Promise<(string | undefined)[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('tr[data-key]')].map((shown) => shown.dataset['key']),
  );
}

async function expectKeys(page: Page, keys: readonly string[]): Promise<void> {
  await expect.poll(() => keysOf(page)).toEqual(keys);
}

/** The key of the row that has the focus on its link. */
function focused(page: Page): Promise<string | undefined> {
  return page.evaluate(() =>
    document.activeElement instanceof HTMLAnchorElement
      ? document.activeElement.closest('tr')?.dataset['key']
      : undefined,
  );
}
