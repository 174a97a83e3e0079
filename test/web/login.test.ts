import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { createToken, revokeToken } from '../../server/rpc/access/token-file.js';
import { Folder } from '../cli/cli.js';
import { webAddress } from '../rpc/web/web-daemon.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { describeInBrowser, expectAccessible, screenshot } from './browser.js';

describeInBrowser('a daemon with tokens', (browser) => {
  let folder: Folder;
  let daemon: TestDaemon;
  let file: string;
  const tokens: Record<string, string> = {};

  beforeAll(async () => {
    folder = await Folder.make();
    file = folder.at('tokens.json');
    tokens['admin'] = createToken(file, { name: 'ada', scope: 'admin', prefix: '' });
    tokens['reader'] = createToken(file, { name: 'rita', scope: 'read', prefix: '' });
    tokens['team'] = createToken(file, { name: 'wing team', scope: 'write', prefix: 'team/' });
    tokens['brief'] = createToken(file, { name: 'brief', scope: 'read', prefix: '' });
    daemon = await TestDaemon.startIn((own) => ({
      ...{ web: '127.0.0.1:0', tokens: file },
      secondary: { type: 'filesystem', base_path: join(own, 'copies') },
    }));
    const client = createClient({ address: daemon.address, token: tokens['admin'] ?? '' });
    for (const key of ['team/a', 'other/b']) {
      const writer = await client.save(key, PROBLEM);
      await writer.append({ x: [1], label: ['a'] });
      await writer.commit();
    }
    client.close();
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const open = (hash = '') => browser.page(`http://${webAddress(daemon)}/${hash}`);
  const logIn = async (page: Page, name: string) => {
    await page.getByLabel('Token').fill(tokens[name] ?? name);
    await page.getByRole('button', { name: 'Log in' }).click();
  };

  test('asks for a token, says how one is made, and refuses one that is none', async () => {
    const page = await open();
    await page.getByRole('alert').getByText('This daemon asks for a token.').waitFor();
    await page.getByText('optistore token create NAME --scope read').waitFor();
    const field = page.getByLabel('Token');
    expect([await field.getAttribute('type'), await field.getAttribute('autocomplete')]).toEqual(['password', 'off']);
    await expectAccessible(page);
    await screenshot(page, 'login');
    await logIn(page, 'ost_0123456789ab_wrong');
    await page
      .getByRole('alert')
      .getByText(/token.*(unknown|not known|revoked|invalid)/i)
      .waitFor();
    expect(await field.inputValue()).toBe('');
  });

  test('a token is in the page’s memory alone, and a reload asks again', async () => {
    const page = await open();
    await logIn(page, 'admin');
    await page.getByRole('link', { name: 'team/a' }).waitFor();
    await page.getByTitle('The token "ada" has the scope admin, for all keys.').waitFor();
    const secret = tokens['admin'] ?? '';
    const kept = await page.evaluate(async () => [
      ...[JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie, location.href],
      ...[JSON.stringify(history.state), window.name, document.documentElement.outerHTML],
      JSON.stringify(await indexedDB.databases()),
      JSON.stringify(await caches.keys()),
    ]);
    for (const text of kept) expect(text).not.toContain(secret);
    expect(await page.context().cookies()).toEqual([]);
    await page.reload();
    await page.getByLabel('Token').waitFor();
    expect(await page.getByRole('link', { name: 'team/a' }).count()).toBe(0);
  });

  test('a log out hides what was seen, and asks for a token', async () => {
    const page = await open();
    await logIn(page, 'admin');
    await page.getByLabel('Select other/b').click();
    await page.getByText('1 selected').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('alert').getByText('You are logged out.').waitFor();
    expect(await page.getByRole('link', { name: 'team/a' }).count()).toBe(0);
    await logIn(page, 'team');
    await page.getByRole('link', { name: 'team/a' }).waitFor();
    expect(await page.getByText(/other\/b|selected/).count()).toBe(0);
  });

  test('a log out while the connection is lost ends the tries, and the next log in is not kept waiting', async () => {
    const page = await open();
    await page.getByLabel('Token').waitFor();
    await page.route('**/WatchResults', (route) => route.abort());
    await logIn(page, 'reader');
    await page.getByText('Connection lost.').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('alert').getByText('You are logged out.').waitFor();
    // The wait for the next try would be over by then.
    await page.waitForTimeout(2500);
    expect(await page.getByText('Connection lost.').count()).toBe(0);
    await page.unroute('**/WatchResults');
    await logIn(page, 'reader');
    await page.getByText('Connected').waitFor();
  });

  test('what a token that reads does not allow is off, and says why', async () => {
    const page = await open();
    await logIn(page, 'reader');
    await page.getByLabel('Select team/a').click();
    const why = (scope: string) => `The token "rita" allows reading; this needs one of the scope ${scope}.`;
    const remove = page.getByRole('button', { name: 'Delete…' });
    expect(await remove.getAttribute('title')).toBe(why('write'));
    expect(await remove.getAttribute('aria-disabled')).toBe('true');
    await remove.click({ force: true });
    await page.keyboard.press('Delete');
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.getByLabel('Actions for team/a').click();
    for (const name of ['Delete…', 'Migrate…'])
      expect(await page.getByRole('menuitem', { name }).getAttribute('title')).toBe(why('write'));
    await page.keyboard.press('Escape');
    await expectAccessible(page);
    await page.getByRole('link', { name: 'Status' }).click();
    for (const name of ['Verify…', 'Replicate…', 'Migrate the store…'])
      expect(await page.getByRole('button', { name }).getAttribute('title')).toBe(why('admin'));
    await screenshot(page, 'status-read-token');
  });

  test('a token that is revoked while the page is open is asked for anew', async () => {
    const page = await open();
    await logIn(page, 'brief');
    await page.getByRole('link', { name: 'team/a' }).waitFor();
    await page.getByText('Connected', { exact: true }).waitFor();
    revokeToken(file, 'brief');
    await page.getByLabel('Token').waitFor();
    expect(await page.getByRole('link', { name: 'team/a' }).count()).toBe(0);
  });
});
