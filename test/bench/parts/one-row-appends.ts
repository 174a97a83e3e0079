import { join } from 'node:path';
import { createClient } from '../../../clients/typescript/index.js';
import { COLUMNS, startDaemon, VARIABLES, type Bench } from '../bench.js';
import { appendRows, CEILINGS } from '../ceilings.js';
import { addPeakMemory } from '../cost.js';
import type { Measured } from '../figures.js';
import { oneRowMessages } from './one-row-messages.js';

const ROWS = 100_000;
const STREAMS = 16;
/** So many are enough to tell how long a sync takes. */
const SYNCED_ROWS = 2000;

const FIGURES = {
  client: { id: 'row_appends', what: 'one-row appends of the client, 40 columns', unit: 'rows/s' },
  messages: {
    id: 'row_messages',
    what: 'one-row messages on one stream, 40 columns',
    unit: 'rows/s',
    ceilings: [CEILINGS.syncedRows.id, 'flight_file_rows'],
    aim: '≥ 20,000',
  },
  narrow: { id: 'row_messages_5', what: 'one-row messages on one stream, 5 columns', unit: 'rows/s', aim: '≥ 20,000' },
  streams: {
    id: 'row_messages_16_streams',
    what: 'one-row messages over 16 streams, 40 columns',
    unit: 'rows/s',
    aim: '≥ 60,000',
  },
  narrowStreams: {
    id: 'row_messages_5_16_streams',
    what: 'one-row messages over 16 streams, 5 columns',
    unit: 'rows/s',
    aim: '≥ 60,000',
  },
} satisfies Record<string, Measured>;

/** Rows that come one by one, as solvers have them: acked in groups, all durable at the end. */
export async function oneRowAppends(bench: Bench): Promise<void> {
  const { figures, folder, times } = bench;
  await using daemon = await startDaemon(bench, 'rows');
  const { address } = daemon;
  await using client = createClient({ address });
  const row = Object.fromEntries(VARIABLES.map(({ name }, i) => [name, [i + 0.5]]));
  const overStreams = (columnCount: number) =>
    Promise.all(
      Array.from({ length: STREAMS }, (_, i) =>
        oneRowMessages(address, `bench/messages/${i}`, VARIABLES.slice(0, columnCount), ROWS / STREAMS),
      ),
    );
  for (let run = 0; run < times; run++) {
    const file = join(folder, `ceiling-rows-${run}`);
    await figures.rate(CEILINGS.syncedRows, SYNCED_ROWS, () => appendRows(file, SYNCED_ROWS, COLUMNS * 8));
    await figures.rate(FIGURES.client, ROWS, async () => {
      const writer = await client.save('bench/rows', { variables: VARIABLES });
      for (let i = 0; i < ROWS; i++) await writer.append(row);
      await writer.commit();
    });
    await figures.rate(FIGURES.messages, ROWS, () => oneRowMessages(address, 'bench/messages', VARIABLES, ROWS));
    await figures.rate(FIGURES.narrow, ROWS, () =>
      oneRowMessages(address, 'bench/messages', VARIABLES.slice(0, 5), ROWS),
    );
    await figures.rate(FIGURES.streams, ROWS, () => overStreams(COLUMNS));
    await figures.rate(FIGURES.narrowStreams, ROWS, () => overStreams(5));
  }
  addPeakMemory(figures, daemon.pid, 'rows', 'one-row appends');
}
