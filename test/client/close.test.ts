import { describe, expect, test } from 'vitest';
import { PROBLEM, TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

describe.each(TRANSPORTS)('a client that is closed, by %s', (_, clientOf) => {
  test('ends what it watches, without an error; the daemon lets go of it', async () => {
    await using daemon = await TestDaemon.start();
    await using other = clientOf({ address: daemon.address });
    const client = clientOf({ address: daemon.address });
    const watching = client.watch();
    expect((await watching.next()).done).toBe(false);
    const next = watching.next();
    client.close();
    expect(await next).toEqual({ done: true, value: undefined });
    while ((await other.getStatus()).streamCount !== 0n);
  });
});

describe.each(TRANSPORTS)('a writer that is closed, by %s', (_, clientOf) => {
  test('says so where its rows could not be made durable', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address, retryMs: 200 });
    const writer = await client.save('closed', PROBLEM, { uploadId: 'mine' });
    await writer.append({ x: [1], label: ['a'] });
    await writer.flush();
    await daemon.process.stop('SIGKILL');
    await writer.append({ x: [2], label: ['b'] });
    await expect(writer.close()).rejects.toMatchObject({
      message: expect.stringContaining('1 rows are safe; resume with upload id mine') as string,
    });
    await writer.close();
  });

  test('takes no rows while its commit is under way', async () => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address });
    const writer = await client.save('committing', PROBLEM);
    await writer.append({ x: [1], label: ['a'] });
    const committing = writer.commit();
    await expect(writer.append({ x: [2], label: ['b'] })).rejects.toThrow('commit is under way');
    expect((await committing).rowCount).toBe(1n);
  });
});
