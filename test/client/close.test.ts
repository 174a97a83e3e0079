import { describe, expect, test } from 'vitest';
import { createClient } from '../../clients/typescript/index.js';
import { TestDaemon } from '../rpc/wire.js';

describe('a client that is closed', () => {
  test('ends what it watches, without an error; the daemon lets go of it', async () => {
    await using daemon = await TestDaemon.start();
    await using other = createClient({ address: daemon.address });
    const client = createClient({ address: daemon.address });
    const watching = client.watch();
    expect((await watching.next()).done).toBe(false);
    const next = watching.next();
    client.close();
    expect(await next).toEqual({ done: true, value: undefined });
    while ((await other.getStatus()).streamCount !== 0n);
  });
});
