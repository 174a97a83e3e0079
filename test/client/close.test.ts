import { describe, expect, test } from 'vitest';
import { TestDaemon } from '../rpc/wire.js';
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
