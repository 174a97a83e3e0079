import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { codeBlocks } from '../docs/code-blocks.js';
import { TestDaemon } from '../rpc/wire.js';
import { pythonPackage, type InstalledPackage } from './package.js';
import { run } from './virtualenv.js';

const CLIENTS = 'docs/clients';
const PAGES = ['README.md', ...readdirSync(CLIENTS).map((name) => join(CLIENTS, name))];

/** The Python of a page, as it is printed. */
function pythonOf(page: string): string {
  return codeBlocks(readFileSync(page, 'utf8'), 'python').join('\n');
}

describe('Python of the documentation runs as it is printed', () => {
  let installed: InstalledPackage;
  beforeAll(async () => {
    installed = await pythonPackage();
  });

  const pages = PAGES.filter((page) => page.endsWith('.md') && pythonOf(page) !== '');
  test('and there is some', () => {
    expect(pages).toEqual(expect.arrayContaining(['README.md', join(CLIENTS, 'python.md')]));
  });

  test.each(pages)('%s', async (page) => {
    await using daemon = await TestDaemon.start();
    const script = join(daemon.folder, 'page.py');
    await writeFile(script, pythonOf(page));
    const env = { ...installed.env, OPTISTORE_SERVER: daemon.address, MPLBACKEND: 'agg' };
    // Again and again, as a reader would: what is there from before does no harm.
    for (let i = 0; i < 2; i++) {
      const { stderr } = await run(installed.python, ['-W', 'error::DeprecationWarning:optistore', script], {
        env,
        cwd: daemon.folder,
        timeout: 50_000,
      }).catch((error: { stderr?: string }) => expect.fail(error.stderr));
      expect(stderr).not.toContain('Traceback');
    }
  });
});
