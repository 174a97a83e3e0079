import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createClient } from '../../../clients/typescript/index.js';
import { goTool } from '../../rpc/go-tool.js';
import { noise, startDaemon, VARIABLES, type Bench } from '../bench.js';
import { addPeakMemory } from '../cost.js';
import type { Measured } from '../figures.js';

const CALLS = 40_000;
const IN_FLIGHT = 64;
const CONNECTIONS = 8;
const KEY = 'bench/metadata';

const FIGURES = {
  rate: { id: 'get_result', what: 'GetResult, 64 in flight (ghz)', unit: '/s', aim: '≥ 8,000' },
  p99: { id: 'get_result_p99', what: 'its 99th percentile', unit: 'ms' },
} satisfies Record<string, Measured>;

/** What ghz tells; times in nanoseconds. */
interface Report {
  readonly rps: number;
  readonly statusCodeDistribution: Readonly<Record<string, number>>;
  readonly latencyDistribution: readonly { readonly percentage: number; readonly latency: number }[];
}

/** Answers about a result of 40 columns, by a load generator that is not Node. */
export async function metadata(bench: Bench): Promise<void> {
  const ghz = await goTool('github.com/bojand/ghz/cmd/ghz', 'v0.121.0');
  await using daemon = await startDaemon(bench, 'metadata');
  await using client = createClient({ address: daemon.address });
  const writer = await client.save(KEY, { variables: VARIABLES });
  await writer.append(noise(100));
  await writer.commit();
  const what = ['--insecure', '--call', 'optistore.v1.StorageService/GetResult', '-d', JSON.stringify({ key: KEY })];
  // Templates take a fifth of its processor time, which it shares with the daemon.
  const plain = ['--disable-template-functions', '--disable-template-data'];
  const load = ['-n', `${CALLS}`, '-c', `${IN_FLIGHT}`, '--connections', `${CONNECTIONS}`, '-O', 'json'];
  for (let run = 0; run < bench.times; run++) {
    const { stdout } = await promisify(execFile)(ghz, [...what, ...plain, ...load, daemon.address], {
      maxBuffer: 2 ** 26,
    });
    const report = JSON.parse(stdout) as Report;
    if (report.statusCodeDistribution['OK'] !== CALLS) throw new Error(JSON.stringify(report.statusCodeDistribution));
    bench.figures.add(FIGURES.rate, report.rps);
    const slowest = report.latencyDistribution.find(({ percentage }) => percentage === 99);
    bench.figures.add(FIGURES.p99, (slowest?.latency ?? NaN) / 1e6);
  }
  addPeakMemory(bench.figures, daemon.pid, 'metadata', 'GetResult');
}
