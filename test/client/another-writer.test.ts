import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { OptistoreClient } from '../../clients/typescript/index.js';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

const ROW = { x: [1], label: ['a'] };

describe.each(TRANSPORTS)('a writer that was idle while another had its upload, by %s', (_, clientOf) => {
  /** A writer with a durable row, whose stream has ended: it opens another one when there is something to send. */
  async function idleWriter(client: OptistoreClient) {
    const writer = await client.save('shared', PROBLEM, { uploadId: 'mine' });
    await writer.append(ROW);
    await writer.flush();
    for (let hasStream = true; hasStream; await sleep(20))
      for await (const upload of client.listUploads()) hasStream = upload.hasStream;
    return writer;
  }

  test('is told where it was committed without rows of its own', async () => {
    await using daemon = await TestDaemon.startWith({ stream_idle_timeout: '150ms' });
    await using client = clientOf({ address: daemon.address });
    const writer = await idleWriter(client);
    await (await client.save('shared', PROBLEM, { uploadId: 'mine' })).commit();

    await writer.append(ROW);
    await expect(writer.flush()).rejects.toMatchObject({
      reason: 'UPLOAD_COMMITTED',
      message: expect.stringContaining('committed elsewhere with 1 rows') as string,
    });
    await writer.close();
  });

  test('is told where that one added rows in the places of its own', async () => {
    await using daemon = await TestDaemon.startWith({ stream_idle_timeout: '150ms' });
    await using client = clientOf({ address: daemon.address });
    const writer = await idleWriter(client);
    const other = await client.save('shared', PROBLEM, { uploadId: 'mine' });
    await other.append({ x: [2, 3, 4], label: ['b', 'c', 'd'] });
    await other.close();

    // However many it has itself.
    for (let i = 0; i < 7; i++) await writer.append(ROW);
    await expect(writer.flush()).rejects.toMatchObject({
      reason: 'UPLOAD_TAKEN_OVER',
      message: expect.stringContaining('has 4 rows, where this writer has sent 1') as string,
    });
    await writer.close();
  });
});
