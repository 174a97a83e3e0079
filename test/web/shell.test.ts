import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, screenshot } from './browser.js';

describeInBrowser('the page', (browser) => {
  let daemon: TestDaemon;
  let client: OptistoreClient;
  let url: string;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
    client = createClient({ address: daemon.address });
    url = `http://${webAddress(daemon)}/`;
    await save('kept');
  });
  afterAll(async () => {
    client.close();
    await daemon[Symbol.asyncDispose]();
  });

  async function save(key: string): Promise<void> {
    const writer = await client.save(key, PROBLEM);
    await writer.append({ x: [1], label: ['a'] });
    await writer.commit();
  }

  test('says that it is connected, and to which version', async () => {
    const page = await browser.page(url);
    await page.getByText('Connected', { exact: true }).waitFor();
    await page.getByText(/^v\d+\.\d+\.\d+$/).waitFor();
    expect(await page.title()).toBe('Runs · optistore');
  });

  test('all of its files together are below 400 KB, compressed', () => {
    const files = readdirSync('dist/web', { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    expect(files.length).toBeGreaterThan(3);
    const sizes = files.map(({ parentPath, name }) => gzipSync(readFileSync(join(parentPath, name))).byteLength);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(400_000);
  });

  test('the content is reached past the header, and an address that is none leads back', async () => {
    const page = await browser.page(`${url}#/nowhere`);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('content');
    expect(new URL(page.url()).hash).toBe('#/nowhere');
    await expectAccessible(page);
    await page.getByRole('main').getByRole('link', { name: 'runs' }).click();
    await page.getByRole('link', { name: 'kept' }).waitFor();
  });

  test('the theme is switched, and kept; nothing else is', async () => {
    const page = await browser.page(url, { colorScheme: 'dark' });
    const scheme = () => page.evaluate(() => document.documentElement.dataset['theme']);
    expect(await scheme()).toBe('dark');
    await page.getByRole('button', { name: 'Theme: auto' }).click();
    expect(await scheme()).toBe('light');
    await page.reload();
    await page.getByRole('button', { name: 'Theme: light' }).waitFor();
    expect(await scheme()).toBe('light');
    expect(await page.evaluate(() => [JSON.stringify(localStorage), sessionStorage.length, document.cookie])).toEqual([
      '{"optistore.theme":"light"}',
      ...[0, ''],
    ]);
    await page.getByRole('button', { name: 'Theme: light' }).click();
    await page.getByRole('button', { name: 'Theme: dark' }).click();
    await page.emulateMedia({ colorScheme: 'light' });
    await expect.poll(scheme).toBe('light');
  });

  test('a daemon that is gone is told of, what was seen stays, and all is up to date once it is back', async () => {
    const page = await browser.page(url);
    await page.getByRole('link', { name: 'kept' }).waitFor();
    await page.getByText('Connected', { exact: true }).waitFor();
    await daemon.process.stop('SIGKILL');
    const banner = page.getByRole('alert').filter({ hasText: 'Connection lost.' });
    await banner.getByText(/The daemon does not answer\. What you see is from \d\d:\d\d:\d\d\./).waitFor();
    await banner.getByText(/Next try in \d+ s|Trying…/).waitFor();
    expect(await page.getByRole('link', { name: 'kept' }).count()).toBe(1);
    await expectAccessible(page);
    await screenshot(page, 'connection-lost');
    await daemon.restart('--web', webAddress(daemon));
    await save('meanwhile');
    await banner.waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'meanwhile' }).waitFor();
    await page.getByText('Connected', { exact: true }).waitFor();
  });

  test('a daemon that hangs is noticed', async () => {
    const page = await browser.page(url);
    await page.getByRole('link', { name: 'kept' }).waitFor();
    await page.getByText('Connected', { exact: true }).waitFor();
    await page.clock.install();
    // From its next word on it is waited for by this clock.
    await save('hanging');
    await page.getByRole('link', { name: 'hanging' }).waitFor();
    process.kill(daemon.process.pid, 'SIGSTOP');
    try {
      await page.clock.fastForward(41_000);
      await page.getByRole('alert').getByText('The daemon says nothing any more.').waitFor();
    } finally {
      process.kill(daemon.process.pid, 'SIGCONT');
    }
    await page.clock.fastForward(20_000);
    await page.getByRole('alert').waitFor({ state: 'detached' });
  });

  test('a page that nobody looks at lets go of its connection, and is up to date when it is looked at again', async () => {
    const page = await browser.page(url);
    await page.getByText('Connected', { exact: true }).waitFor();
    const streams = async () => Number((await client.getStatus()).streamCount);
    const look = (state: DocumentVisibilityState) =>
      page.evaluate((shown) => {
        Object.defineProperty(document, 'visibilityState', { value: shown, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, state);
    await expect.poll(streams).toBe(1);
    await page.clock.install();
    await look('hidden');
    await page.clock.fastForward(59_000);
    expect(await streams()).toBe(1);
    await page.clock.fastForward(2000);
    await expect.poll(streams).toBe(0);
    await save('while hidden');
    await look('visible');
    await page.clock.fastForward(5000);
    await page.getByRole('link', { name: 'while hidden' }).waitFor();
    expect(await page.getByRole('alert').count()).toBe(0);
  });

  test('it does not wait when it is told to try', async () => {
    const page = await browser.page(url);
    await page.getByText('Connected', { exact: true }).waitFor();
    const web = webAddress(daemon);
    await daemon.process.stop('SIGTERM');
    await page
      .getByRole('alert')
      .getByText(/Next try in [34] s/)
      .waitFor();
    const [tried] = await Promise.all([
      page.waitForRequest((request) => request.url().includes('WatchResults'), { timeout: 1500 }),
      page.getByRole('button', { name: 'Try now' }).click(),
    ]);
    expect(tried.method()).toBe('POST');
    await daemon.restart('--web', web);
  });

  test('it does not wait when another call was answered', async () => {
    const page = await browser.page(url);
    await page.getByText('Connected', { exact: true }).waitFor();
    const web = webAddress(daemon);
    await daemon.process.stop('SIGTERM');
    const banner = page.getByRole('alert').filter({ hasText: 'Connection lost.' });
    await banner.getByText(/Next try in [678] s/).waitFor();
    await daemon.restart('--web', web);
    await page.getByRole('link', { name: 'kept' }).click();
    await page.getByText('revision 1').waitFor();
    await banner.waitFor({ state: 'detached', timeout: 1500 });
  });

  test('a store that was begun anew is listed anew', async () => {
    await using other = await TestDaemon.startWith({ primary: { type: 'memory' }, web: '127.0.0.1:0' });
    const web = webAddress(other);
    const page = await browser.page(`http://${web}/`);
    await saveTo(other, 'first');
    await saveTo(other, 'second');
    await page.getByRole('link', { name: 'second' }).waitFor();
    await other.process.stop('SIGKILL');
    await other.restart('--web', web);
    await saveTo(other, 'anew');
    await page.getByRole('link', { name: 'anew' }).waitFor();
    expect(await keysOf(page)).toEqual(['anew']);
  });
});

async function saveTo(daemon: TestDaemon, key: string): Promise<void> {
  const client = createClient({ address: daemon.address });
  const writer = await client.save(key, PROBLEM);
  await writer.append({ x: [1], label: ['a'] });
  await writer.commit();
  client.close();
}

function keysOf(page: Page): Promise<(string | undefined)[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('tr[data-key]')].map((shown) => shown.dataset['key']),
  );
}
