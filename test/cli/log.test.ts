import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { freePort } from '../../clients/cli/daemon-process.js';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { LOG_BYTES_MAX } from '../../server/limits.js';
import { MAIN, TestDaemon } from '../rpc/wire.js';

const CALLS = 12_000;

/** Asks for what is not there, many times. */
async function ask(client: OptistoreClient, calls: number): Promise<void> {
  for (let asked = 0; asked < calls; asked += 100) {
    const answers = Array.from({ length: 100 }, () => client.getResult('nothing').catch((error: unknown) => error));
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ reason: 'RESULT_NOT_FOUND' });
  }
}

test('each call is told in the log, within a moment', async () => {
  await using daemon = await TestDaemon.start();
  await using client = createClient({ address: daemon.address });
  await ask(client, 100);
  await vi.waitUntil(() => daemon.process.log.filter((line) => line.includes('GetResult')).length === 100, 10_000);
});

test('who does not read the log holds up no call; what is beyond its room is left out, and the rest is whole', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-log-'));
  const address = `127.0.0.1:${await freePort()}`;
  const daemon = spawn(process.execPath, [MAIN, 'serve', '--path', join(folder, 'data'), '--listen', address], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    await using client = createClient({ address, retryMs: 30_000 });
    await vi.waitUntil(
      () =>
        client.getStatus().then(
          () => true,
          () => false,
        ),
      30_000,
    );
    await ask(client, CALLS);
    let text = '';
    daemon.stderr.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    daemon.kill('SIGTERM');
    expect(await once(daemon, 'close')).toEqual([0, null]);
    const lines = text.trimEnd().split('\n');
    for (const line of lines) expect(() => JSON.parse(line) as unknown).not.toThrow();
    const told = lines.filter((line) => line.includes('GetResult')).length;
    expect(told).toBeGreaterThan(1000);
    expect(told).toBeLessThan(CALLS);
    // A pipe takes 64 KiB beside it.
    expect(text.length).toBeLessThan(LOG_BYTES_MAX * 1.25);
  } finally {
    daemon.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
});
