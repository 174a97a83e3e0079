import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { Backend } from '../../proto/gen/optistore/v1/result_pb.js';
import { all } from '../backends/runs.js';
import { flipBit } from '../manager/three-stores.js';
import { saveRun } from '../rpc/raw-load.js';
import { floatRun, floats } from '../rpc/sample-runs.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, expectFitsEverywhere, screenshot } from './browser.js';

describeInBrowser('status with two stores', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;

  beforeAll(async () => {
    daemon = await TestDaemon.startIn((folder) => ({
      ...{ web: '127.0.0.1:0', primary: { type: 'leveldb', path: join(folder, 'data') } },
      secondary: { type: 'leveldb', path: join(folder, 'copies') },
    }));
    client = createClient({ address: daemon.address });
    // Over 64 KiB: in a file of its own, that a bit of can be changed.
    for (const key of ['beam/a', 'beam/b', 'wing/a'])
      await saveRun(daemon.address, key, floats(4), floatRun(4, 5000), 1000);
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  const open = () => browser.page(`http://${webAddress(daemon)}/#/status`);
  const placesOf = async (key: string) => (await client.getResult(key)).placements.map(({ backend }) => backend);

  test('shows the stores, the cache, replication, fallback and scrub, and goes on doing so', async () => {
    const page = await open();
    const card = (name: string) => page.getByRole('region', { name, exact: true });
    expect(await card('Primary').innerText()).toMatch(/leveldb\s+ready\s+3 results/);
    for (const name of ['Secondary', 'Cache', 'Replication', 'Fallback', 'Scrub']) await card(name).waitFor();
    const hits = () => card('Cache').locator('dl').innerText();
    expect(await hits()).toMatch(/Hits\s+0/);
    for (let i = 0; i < 4; i++) await all(client.load('beam/a'));
    // A saved result is loaded first from the store, or was kept when it was saved.
    await expect.poll(hits, { timeout: 5000 }).toMatch(/Hits\s+[34]/);
    await card('Cache')
      .getByText(/^(75|80|100)(\.\d)? %$/)
      .waitFor();
    await expect.poll(() => card('Cache').locator('.sparkline .line').count(), { timeout: 5000 }).toBe(1);
    await expectAccessible(page);
    await screenshot(page, 'status-1280');
  });

  test('results are replicated, after it was said which, and the card of the secondary counts them', async () => {
    const page = await open();
    await page.getByRole('button', { name: 'Replicate…' }).click();
    await page.getByLabel('Keys that begin with').fill('beam/');
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Replicate', exact: true }).click();
    const operation = operationOf(page, 'Replicate results that begin with beam/');
    await operation.getByText('done', { exact: true }).waitFor();
    expect(await operation.innerText()).toMatch(/2 copied[^]*0 failed/);
    expect(await placesOf('beam/a')).toEqual([Backend.PRIMARY, Backend.SECONDARY]);
    expect(await placesOf('wing/a')).toEqual([Backend.PRIMARY]);
    await page.getByRole('region', { name: 'Secondary', exact: true }).getByText('2 results').waitFor();
    await operation.getByRole('button', { name: /^Dismiss/ }).click();
    await operation.waitFor({ state: 'detached' });
  });

  test('verify tells what does not check, and repairs it', async () => {
    const page = await open();
    await page.getByRole('button', { name: 'Verify…' }).click();
    await page.getByLabel('In', { exact: true }).selectOption('primary');
    await page.getByRole('button', { name: 'Verify', exact: true }).click();
    const fine = operationOf(page, 'Verify all results in the primary');
    await fine.getByText('done', { exact: true }).waitFor();
    expect(await fine.innerText()).toMatch(/3 ok[^]*0 corrupt/);
    await flipBit(join(daemon.folder, 'copies', 'segments'));
    await page.getByRole('button', { name: 'Verify…' }).click();
    await page.getByRole('button', { name: 'Verify', exact: true }).click();
    const found = operationOf(page, 'Verify all results');
    await found.getByText('corrupt in the secondary').waitFor();
    expect(await found.getByRole('list').innerText()).toMatch(/beam\/[ab][^]*checksum/);
    await expectAccessible(page);
    await screenshot(page, 'status-verify');
    await page.getByRole('button', { name: 'Verify…' }).click();
    await page.getByLabel('Repair what is corrupt').click();
    await page.getByRole('button', { name: 'Verify and repair' }).click();
    const repaired = operationOf(page, 'Verify and repair all results');
    await repaired.getByText('done', { exact: true }).waitFor();
    expect(await repaired.innerText()).toMatch(/1 repaired/);
  });

  test('a run is moved to the secondary from its menu, and comes back from there', async () => {
    const page = await browser.page(`http://${webAddress(daemon)}/#/`);
    await page.getByLabel('Actions for wing/a').click();
    await page.getByRole('menuitem', { name: 'Migrate…' }).click();
    await page.getByLabel('Keep the source').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Move' }).click();
    const moved = operationOf(page, 'Move wing/a from the primary to the secondary');
    await moved.getByText('done', { exact: true }).waitFor();
    expect(await placesOf('wing/a')).toEqual([Backend.SECONDARY]);
    await page.getByRole('link', { name: 'Status' }).click();
    await page.getByRole('button', { name: 'Migrate…' }).click();
    await page.getByLabel('Keys that begin with').fill('wing/');
    await page.getByLabel('From', { exact: true }).selectOption('secondary');
    const start = page.getByRole('dialog').getByRole('button', { name: 'Copy' });
    expect(await start.getAttribute('title')).toBe('From and to are the same.');
    await page.getByLabel('To', { exact: true }).selectOption('primary');
    await start.click();
    const copied = operationOf(page, 'Copy results that begin with wing/ from the secondary to the primary');
    await copied.getByText('done', { exact: true }).waitFor();
    // What was moved is told here too.
    expect(await moved.count()).toBe(1);
    expect(await placesOf('wing/a')).toEqual([Backend.PRIMARY, Backend.SECONDARY]);
  });

  test('the list of runs says in words what the secondary has, also of what was moved there', async () => {
    await saveRun(daemon.address, 'moved/away', floats(1), floatRun(1, 10));
    const page = await browser.page(`http://${webAddress(daemon)}/#/?prefix=moved/`);
    const cell = page.locator('tr[data-key="moved/away"] .replication .badge');
    await cell.getByText('no copy').waitFor();
    await page.getByLabel('Actions for moved/away').click();
    await page.getByRole('menuitem', { name: 'Migrate…' }).click();
    await page.getByLabel('Keep the source').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Move' }).click();
    await cell.getByText('moved').waitFor();
    expect(await cell.getAttribute('title')).toMatch(/^It is in the secondary alone/);
    // No part of the word is hidden.
    expect(await cell.evaluate((badge) => badge.scrollWidth - badge.clientWidth)).toBe(0);
    await page.reload();
    await cell.getByText('moved').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'runs-secondary');
    await client.deleteResult('moved/away');
  });

  test('the store is migrated, and it is said what is still to be waited for', async () => {
    const page = await open();
    await client.save('beam/open', floats(1), { uploadId: 'still-open' });
    await page.getByRole('button', { name: 'Migrate the store…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Migrate the store' }).click();
    const operation = operationOf(page, 'Migrate the store to the secondary');
    await operation.getByText(/1 save in progress: the rows stay in the primary/).waitFor();
    await client.abortUpload('still-open');
    await operation.getByRole('button', { name: /^Dismiss/ }).click();
    await page.getByRole('button', { name: 'Migrate the store…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Migrate the store' }).click();
    await operation.getByText('The secondary has everything. The stores can be swapped').waitFor();
  });

  test('what runs can be cancelled', async () => {
    await saveRun(daemon.address, 'big', floats(32), floatRun(32, 200_000), 4096);
    const page = await open();
    await page.getByRole('button', { name: 'Verify…' }).click();
    await page.getByRole('button', { name: 'Verify', exact: true }).click();
    const operation = operationOf(page, 'Verify all results');
    await operation.getByRole('button', { name: 'Cancel' }).click();
    await operation.getByText('cancelled', { exact: true }).waitFor();
    // At the daemon too: what is left is the page's stream of events.
    await expect.poll(async () => Number((await client.getStatus()).streamCount)).toBe(1);
  });

  test('is accessible, and nothing sticks out sideways, from 375 pixels to 4K, and in the dark', async () => {
    const page = await open();
    await page.getByRole('heading', { name: 'Primary' }).waitFor();
    await expectFitsEverywhere(page, 'status');
  });
});

describeInBrowser('status with one store', (browser) => {
  test('what needs a secondary is off, and says so', async () => {
    await using daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    const page = await browser.page(`http://${webAddress(daemon)}/#/status`);
    for (const name of ['Replicate…', 'Migrate…', 'Migrate the store…'])
      expect(await page.getByRole('button', { name }).getAttribute('title')).toMatch(/^There is no secondary/);
    expect(await page.getByRole('button', { name: 'Verify…' }).getAttribute('aria-disabled')).toBeNull();
  });
});

function operationOf(page: Page, title: string) {
  return page
    .getByRole('article')
    .filter({ has: page.getByRole('heading', { name: title, exact: true }) })
    .first();
}
