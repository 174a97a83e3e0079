import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createClient, type OptistoreClient } from '../../clients/typescript/index.js';
import type { WatchResultsResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { Bench, problemOf, Running, until } from '../cli/cli.js';
import { MAIN, PROBLEM, TestDaemon } from './wire.js';

async function saved(client: OptistoreClient, key: string, rowCount = 1): Promise<void> {
  const writer = await client.save(key, PROBLEM);
  await writer.append({
    x: Array.from({ length: rowCount }, () => 0),
    label: Array.from({ length: rowCount }, () => ''),
  });
  await writer.commit();
}

const told = ({ event }: WatchResultsResponse): string => {
  switch (event.case) {
    case 'committed':
    case 'updated':
    case 'deleted':
      return `${event.case} ${event.value.key}@${event.value.revision}`;
    case 'upload':
      return `upload ${event.value.key} ${event.value.durableRowCount}`;
    case undefined:
      return 'nothing';
    default:
      return event satisfies never;
  }
};

/** What a watcher is told next, until it has heard so many events. */
async function hear(watching: AsyncGenerator<WatchResultsResponse, void>, count: number): Promise<string[]> {
  const events: string[] = [];
  while (events.length < count) {
    const next = await watching.next();
    if (next.done === true) break;
    const event = told(next.value);
    if (event !== 'nothing') events.push(event);
  }
  return events;
}

describe('a watch', () => {
  test('tells commits, updates and deletions in their order, with numbers that grow', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    await saved(client, 'before');
    const watching = client.watch({ prefix: 'runs/' });
    const first = await watching.next();
    expect(told(first.value as WatchResultsResponse)).toBe('nothing');
    const hearing = hear(watching, 4);
    await saved(client, 'runs/a');
    // Else two changes of the key might be told as one.
    await sleep(50);
    await saved(client, 'other');
    await client.updateResult('runs/a', { description: 'x' });
    await sleep(50);
    await saved(client, 'runs/b', 3);
    await client.deleteResult('runs/a');
    expect(await hearing).toEqual(['committed runs/a@1', 'updated runs/a@2', 'committed runs/b@1', 'deleted runs/a@3']);
    await watching.return(undefined);
  });

  test('goes on behind an event, also after a restart of the daemon; changes of a key meanwhile are one', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    for (const key of ['a', 'b', 'c']) await saved(client, key);
    const fromFirst = client.watch({ afterEvent: 0n });
    expect(await hear(fromFirst, 1)).toEqual(['committed a@1']);
    const second = (await fromFirst.next()).value as WatchResultsResponse;
    const { eventNumber } = second;
    await saved(client, 'a');
    await client.deleteResult('c');
    await saved(client, 'a');
    await daemon.process.stop('SIGKILL');
    await daemon.restart();
    const later = client.watch({ afterEvent: eventNumber });
    expect(await hear(later, 2)).toEqual(['deleted c@2', 'committed a@3']);
    await later.return(undefined);
    await fromFirst.return(undefined);
  });

  test('reconnects by itself and leaves nothing out', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    const watching = client.watch();
    await watching.next();
    const hearing = hear(watching, 2);
    await saved(client, 'a');
    await daemon.process.stop('SIGTERM');
    await daemon.restart();
    await using other = createClient({ address: daemon.address });
    await saved(other, 'b');
    expect(await hearing).toEqual(['committed a@1', 'committed b@1']);
    await watching.return(undefined);
  });

  test('of a store that was begun anew is told that it was away too long, and where to begin', async () => {
    await using daemon = await TestDaemon.startWith({ primary: { type: 'memory' } });
    await using client = createClient({ address: daemon.address });
    await saved(client, 'a');
    const watching = client.watch({ afterEvent: 0n });
    await hear(watching, 1);
    await watching.return(undefined);
    for (const afterEvent of [1n, 2n ** 62n]) {
      const expired = client.watch({ afterEvent }).next();
      await expect(expired).rejects.toMatchObject({
        reason: 'EVENTS_EXPIRED',
        metadata: { first_event: expect.stringMatching(/^\d+$/) as string },
      });
      const error = await client
        .watch({ afterEvent })
        .next()
        .catch((reason: unknown) => reason);
      const begin = BigInt((error as { metadata: Record<string, string> }).metadata['first_event'] ?? '');
      const again = client.watch({ afterEvent: begin });
      await again.next();
      const hearing = hear(again, 1);
      await saved(client, `new-${afterEvent}`);
      expect(await hearing).toEqual([`committed new-${afterEvent}@1`]);
      await again.return(undefined);
    }
  });

  test('tells saves in progress when it is asked to', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    const watching = client.watch({ includeUploads: true });
    await watching.next();
    const writer = await client.save('k', PROBLEM);
    await writer.append({ x: [1, 2, 3], label: ['', '', ''] });
    await writer.flush();
    const heard: string[] = [];
    while (!heard.includes('upload k 3')) heard.push(...(await hear(watching, 1)));
    await writer.commit();
    expect(await hear(watching, 1)).toEqual(['committed k@1']);
    await watching.return(undefined);
  });

  test('of a hundred, one of which never reads, tells all the others', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address });
    const watchers = Array.from({ length: 100 }, () => client.watch());
    await Promise.all(watchers.map((watching) => watching.next()));
    const [, ...reading] = watchers;
    const hearing = Promise.all(reading.map((watching) => hear(watching, 20)));
    for (let i = 0; i < 20; i++) await saved(client, `k${i}`);
    for (const events of await hearing)
      expect(events).toEqual(Array.from({ length: 20 }, (_, i) => `committed k${i}@1`));
    await Promise.all(watchers.map((watching) => watching.return(undefined)));
  });

  test('ends with SHUTTING_DOWN when the daemon stops', async () => {
    await using daemon = await TestDaemon.start();
    await using client = createClient({ address: daemon.address, retryMs: 0 });
    const watching = client.watch();
    await watching.next();
    const next = watching.next();
    const [ended] = await Promise.allSettled([next, daemon.process.stop('SIGTERM')]);
    expect(ended).toMatchObject({ status: 'rejected', reason: { reason: 'SHUTTING_DOWN' } });
  });
});

test('optistore watch prints a line for each event', async () => {
  await using bench = await Bench.start();
  await bench.save('a', 'n\n1\n', problemOf(['n', 'INT64']));
  await using watching = Running.start([MAIN, 'watch', '--after', '0', '--server', bench.daemon.address]);
  await until(
    () => watching.stdout,
    (text) => text.includes('a\t1 rows'),
  );
  await bench.ok('delete', 'a');
  await until(
    () => watching.stdout,
    (text) => text.includes('deleted'),
  );
  expect(watching.stdout).toBe('1\tcommitted\ta\t1 rows\trevision 1\n2\tdeleted\ta\t\trevision 2\n');
});
