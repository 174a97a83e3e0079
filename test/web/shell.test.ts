import { afterAll, expect, test } from 'vitest';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, screenshot } from './browser.js';

describeInBrowser('the shell', (browser) => {
  const started = TestDaemon.start('--web', '127.0.0.1:0');
  afterAll(async () => (await started)[Symbol.asyncDispose]());
  const url = async (hash = '') => `http://${webAddress(await started)}/${hash}`;

  test('says that it is connected, and to which version', async () => {
    const page = await browser.page(await url());
    await page.getByText('Connected', { exact: true }).waitFor();
    await page.getByText(/^v\d+\.\d+\.\d+$/).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'shell');
    expect(await page.title()).toBe('Runs · optistore');
  });
});
