import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { codeBlocks } from '../docs/code-blocks.js';
import { Running } from '../cli/cli.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, screenshot } from './browser.js';
import { legend } from './run-page.js';

const README = await readFile('README.md', 'utf8');

describeInBrowser('the README', (browser) => {
  let daemon: TestDaemon;

  beforeAll(async () => {
    daemon = await TestDaemon.start('--web', '127.0.0.1:0');
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  test('leads by its first two commands to the live plots of a solver that runs, and to its run', async () => {
    const [serve, solve = ''] = codeBlocks(README, 'sh');
    // As it does for a user, but at ports that are free here.
    expect(serve).toMatch(/^make run\s/);
    const [, address = ''] = /<http:\/\/127\.0\.0\.1:8080\/(#\/live\/[^>]+)>/.exec(README) ?? [];
    // 8 s of it are enough.
    const short = solve.replace('solver.mjs', 'solver.mjs --generations 40 --ms 4');
    await using solver = Running.start(['-c', short], { env: { OPTISTORE_SERVER: daemon.address } }, 'bash');
    const page = await browser.page(`http://${webAddress(daemon)}/`);
    await page.getByText('runs/live').first().waitFor();
    await page.goto(`http://${webAddress(daemon)}/${address}`);
    const rows = async () => Object.values(await legend(page)).reduce((sum, count) => sum + count, 0);
    const first = await rows();
    await expect.poll(rows).toBeGreaterThan(first + 200);
    await screenshot(page, 'readme-live');
    const { code, stderr } = await solver.ended();
    expect(code, stderr).toBe(0);
    await page.goto(`http://${webAddress(daemon)}/${address.replace('live', 'run')}`);
    await page.getByText('1,600 rows', { exact: true }).waitFor();
    expect(await rows()).toBe(1600);
  });
});
