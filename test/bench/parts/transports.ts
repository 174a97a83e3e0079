import { connectTransport } from '../../../clients/typescript/connect-transport.js';
import { createClient, type OptistoreClient } from '../../../clients/typescript/index.js';
import { startDaemon, type Bench } from '../bench.js';
import { costOf } from '../cost.js';
import { loadBulk, saveBulk } from './bulk.js';

const GB = 1e9;

/** What each transport of the TypeScript client gives and takes: the same save and load, in turn. */
export async function transports(bench: Bench): Promise<void> {
  await using daemon = await startDaemon(bench, 'transports');
  const { address } = daemon;
  using transport = connectTransport({ address });
  await using byGrpcJs = createClient({ address });
  await using byConnect = createClient({ transport });
  for (let run = 0; run < bench.times; run++) {
    await measure(bench, 'grpc-js', byGrpcJs);
    await measure(bench, 'Connect', byConnect);
  }
}

async function measure({ figures }: Bench, transport: string, client: OptistoreClient): Promise<void> {
  const acts = {
    save: () => saveBulk(client, `bench/${transport}`, GB),
    load: () => loadBulk(client, `bench/${transport}`),
  };
  for (const [name, act] of Object.entries(acts)) {
    const { seconds, cpuSeconds } = await costOf(process.pid, act);
    const id = `${transport.replace('-', '_').toLowerCase()}_${name}`;
    figures.add({ id, what: `${name} of 1 GB by ${transport}`, unit: 'MB/s' }, GB / 1e6 / seconds);
    figures.add(
      { id: `${id}_cpu`, what: `processor time of the client, ${name} by ${transport}`, unit: 's/GB' },
      cpuSeconds,
    );
  }
}
