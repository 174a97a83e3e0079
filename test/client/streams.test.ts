import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

const columnsOf = (first: number, count: number) => ({
  x: Float64Array.from({ length: count }, (_, i) => first + i),
  label: Array.from({ length: count }, (_, i) => `row ${first + i}`),
});

async function saveRows(client: OptistoreClient, key: string, rowCount: number): Promise<void> {
  const writer = await client.save(key, PROBLEM);
  await writer.append(columnsOf(0, rowCount));
  await writer.commit();
}

/** Waits until the daemon has no stream any more. */
async function untilNoStream(client: OptistoreClient): Promise<void> {
  while ((await client.getStatus()).streamCount !== 0n) await sleep(20);
}

describe.each(TRANSPORTS)('by %s', (name, clientOf) => {
  test('who watches misses nothing over SIGKILLs of the daemon', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 30_000 });
    const watching = client.watch();
    await watching.next();
    for (const key of ['a', 'b', 'c']) {
      await saveRows(client, key, 1);
      let committed: string | undefined;
      while (committed === undefined) {
        const { event } = (await watching.next()).value ?? {};
        if (event?.case === 'committed') committed = event.value.key;
      }
      expect(committed).toBe(key);
      await daemon.process.stop('SIGKILL');
      await daemon.restart();
    }
  });

  test('a load, a watch and a save that are left early end at the daemon too', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address });
    await saveRows(client, 'k', 200_000);
    for await (const { rowCount } of client.load('k', { maxBatchBytes: 65_536 })) if (rowCount > 0) break;
    for await (const { eventNumber } of client.watch({ afterEvent: 0n })) if (eventNumber > 0n) break;
    const writer = await client.save('left', PROBLEM, { uploadId: 'u' });
    await writer.append(columnsOf(0, 10));
    await writer.close();
    await untilNoStream(client);
    const again = await client.save('left', PROBLEM, { uploadId: 'u' });
    expect(again.nextRow).toBe(10);
    await again.close();
  });

  test('a client that is closed takes no more calls', async () => {
    await using daemon = await TestDaemon.start();
    const client = clientOf({ address: daemon.address });
    await client.getStatus();
    client.close();
    const refused = { code: 9, message: 'The client is closed.', isRetryable: false };
    for (const call of [client.getStatus(), client.load('k').toColumns(), client.save('k', PROBLEM)])
      await expect(call).rejects.toMatchObject(refused);
  });

  test('a client that vanishes leaves its acked rows, and another one goes on with them', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    const child = spawn(process.execPath, ['--input-type=module', '-e', vanishing(name, daemon.address)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await untilNoStream(client);
    await using other = clientOf({ address: daemon.address });
    const writer = await other.save('k', PROBLEM, { uploadId: 'u' });
    expect(writer.nextRow).toBeGreaterThanOrEqual(100);
    const { nextRow } = writer;
    await writer.append(columnsOf(nextRow, 50));
    expect((await writer.commit()).rowCount).toBe(BigInt(nextRow + 50));
    expect((await other.load('k').toColumns()).columns['x']?.values).toEqual(columnsOf(0, nextRow + 50).x);
  });

  test('a daemon that says nothing any more is given up, by the keepalive', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, keepalive: { everyMs: 200, answerMs: 300 }, retryMs: 0 });
    await client.getStatus();
    const writer = await client.save('k', PROBLEM);
    process.kill(daemon.process.pid, 'SIGSTOP');
    await writer.append(columnsOf(0, 10));
    const calls = await Promise.allSettled([client.getStatus(), writer.flush()]);
    const failed = { status: 'rejected', reason: { reason: undefined, isRetryable: true } };
    expect(calls).toMatchObject([failed, failed]);
    process.kill(daemon.process.pid, 'SIGCONT');
  });

  test('many saves and loads at once share a connection, whatever their number', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address });
    await Promise.all(Array.from({ length: 64 }, (_, i) => saveRows(client, `k/${i}`, 1000 + i)));
    const loads = Array.from({ length: 64 }, async (_, i) => (await client.load(`k/${i}`).toColumns()).columns);
    for (const [i, { x }] of (await Promise.all(loads)).entries()) expect(x?.values).toEqual(columnsOf(0, 1000 + i).x);
    await untilNoStream(client);
  });
});

/** A program that saves rows without end, and says when some are acked. */
function vanishing(transport: string, address: string): string {
  const from = (file: string) => JSON.stringify(pathToFileURL(`dist/clients/typescript/${file}.js`));
  const made = transport === 'Connect' ? 'transport: connectTransport({ address })' : 'address';
  return `
    import { createClient } from ${from('index')};
    import { connectTransport } from ${from('connect-transport')};
    const address = ${JSON.stringify(address)};
    const client = createClient({ ${made} });
    const problem = { name: 'test', variables: [{ name: 'x', role: 1, valueType: 1 }, { name: 'label', role: 5, valueType: 4 }] };
    const writer = await client.save('k', problem, { uploadId: 'u', onAck: (rows) => rows >= 100 && process.stdout.write('acked') });
    for (let row = 0; ; row++) {
      await writer.append({ x: [row], label: ['row ' + row] });
      if (row % 100 === 99) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  `;
}
