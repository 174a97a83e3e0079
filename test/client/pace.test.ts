import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { floats } from '../rpc/sample-runs.js';
import { TestDaemon } from '../rpc/wire.js';
import { TRANSPORTS } from './transports.js';

const MIB = 1024 * 1024;
const PROBLEM = floats(1);
const BATCH_BYTES = MIB / 4;
const BATCH = { [PROBLEM.variables[0]?.name ?? '']: new Float64Array(BATCH_BYTES / 8) };

test.each(TRANSPORTS)(
  'a writer whose stream is not taken waits, long before it has all that may be unacked, by %s',
  async (_, clientOf) => {
    await using daemon = await TestDaemon.start();
    await using client = clientOf({ address: daemon.address });
    const writer = await client.save('paced', PROBLEM);
    process.kill(daemon.process.pid, 'SIGSTOP');
    let batches = 0;
    const appending = (async () => {
      while (batches < (32 * MIB) / BATCH_BYTES) {
        await writer.append(BATCH);
        batches++;
      }
    })();
    for (let before = -1; before < batches; await sleep(500)) before = batches;
    // What is on the way: sockets, windows, and the stream's own buffer of 16 messages.
    expect(batches * BATCH_BYTES).toBeLessThan(24 * MIB);
    process.kill(daemon.process.pid, 'SIGCONT');
    await appending;
    expect((await writer.commit()).rowCount).toBe(BigInt((batches * BATCH_BYTES) / 8));
  },
);
