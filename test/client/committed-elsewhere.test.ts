import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

const ROW = { x: [1], label: ['a'] };

describe.each(TRANSPORTS)('a writer whose upload was committed elsewhere, by %s', (_, clientOf) => {
  test('is told so where rows of its own are not in it', async () => {
    await using daemon = await TestDaemon.startWith({ stream_idle_timeout: '150ms' });
    await using client = clientOf({ address: daemon.address });
    const writer = await client.save('elsewhere', PROBLEM, { uploadId: 'mine' });
    await writer.append(ROW);
    await writer.flush();
    // Its stream ends; it opens another one when there is something to send.
    for (let hasStream = true; hasStream; await sleep(20))
      for await (const upload of client.listUploads()) hasStream = upload.hasStream;
    await (await client.save('elsewhere', PROBLEM, { uploadId: 'mine' })).commit();

    await writer.append(ROW);
    await expect(writer.flush()).rejects.toMatchObject({
      reason: 'UPLOAD_COMMITTED',
      message: expect.stringContaining('committed elsewhere with 1 rows') as string,
    });
    await writer.close();
  });
});
