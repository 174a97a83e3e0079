import { createClient, type OptistoreClient } from '../../../clients/typescript/index.js';
import { toRowBatch } from '../../../server/rows/wire.js';
import { LINE, lineRows } from '../../backends/runs.js';
import { RawSave } from '../../rpc/wire.js';
import type { Answer } from './answers.js';
import type { FaultyDaemon } from './faulty-daemon.js';

/** Some keys are saved, appended to, changed and deleted at the same time, in small and large batches; one upload stays open. */
export function workload(daemon: FaultyDaemon, roll: () => number, keyCount = 3): Promise<Answer[]> {
  const factors = Array.from({ length: keyCount }, (_, i) => i + 1);
  return livesIn(daemon, roll, factors, (life) => life.live());
}

/** An upload of small batches is acked and stays open, whatever else does: the next start has its rows to bring back. */
export function leaveOpen(daemon: FaultyDaemon, factor: number): Promise<Answer[]> {
  return livesIn(
    daemon,
    () => 0.3,
    [factor],
    (life) => life.leave(),
  );
}

async function livesIn(
  daemon: FaultyDaemon,
  roll: () => number,
  factors: readonly number[],
  live: (life: KeyLife) => Promise<void>,
): Promise<Answer[]> {
  const client = createClient({ address: daemon.address });
  const answers: Answer[] = [];
  try {
    const tell = (answer: Omit<Answer, 'logLength'>) => void answers.push({ ...answer, logLength: daemon.logLength });
    await Promise.all(factors.map((factor) => live(new KeyLife(daemon.address, client, tell, roll, factor))));
  } finally {
    client.close();
  }
  return answers;
}

class KeyLife {
  private readonly key: string;
  private rows = 0;
  private revision = 0;

  constructor(
    private readonly address: string,
    private readonly client: OptistoreClient,
    private readonly tell: (answer: Omit<Answer, 'logLength'>) => void,
    private readonly roll: () => number,
    private readonly factor: number,
  ) {
    this.key = `runs/line-${factor}`;
  }

  async live(): Promise<void> {
    await this.save('first', false, true);
    await this.update();
    if (this.roll() < 0.6) await this.save('more', true, true);
    if (this.roll() < 0.5) await this.remove();
    if (this.roll() < 0.5) await this.save('again', false, true);
    await this.save('left', false, this.roll() < 0.3);
  }

  async leave(): Promise<void> {
    await this.save('open', false, false);
  }

  private async save(name: string, append: boolean, commits: boolean): Promise<void> {
    const { key, factor } = this;
    const uploadId = `${name}-${factor}`;
    const stream = new RawSave(this.address);
    const problem = append ? undefined : LINE;
    stream.send({ case: 'open', value: { key, uploadId, append, ...(problem && { problem }) } });
    let rows = Number((await stream.answer('opened')).nextRow);
    for (let i = 1 + Math.floor(this.roll() * 4); i > 0; i--) {
      const count = this.roll() < 0.25 ? 20_000 : 1 + Math.floor(this.roll() * 900);
      stream.send({ case: 'batch', value: toRowBatch(lineRows(rows, count, factor), LINE.variables) });
      rows += count;
      stream.send({ case: 'flush', value: {} });
      let acked = 0;
      while (acked < rows) acked = Number((await stream.answer('ack')).durableRowCount);
      this.tell({ key, factor, uploadId, acked });
    }
    if (commits) {
      stream.send({ case: 'commit', value: { rowCount: BigInt(rows) } });
      this.revision = Number((await stream.answer('committed')).result?.revision);
      this.rows = rows;
      this.tell({ key, factor, uploadId, acked: rows, revision: this.revision, rows });
    }
    stream.cancel();
  }

  private async update(): Promise<void> {
    const result = await this.client.updateResult(this.key, { description: 'changed' });
    this.revision = Number(result.revision);
    this.tell({ key: this.key, factor: this.factor, acked: 0, revision: this.revision, rows: this.rows });
  }

  private async remove(): Promise<void> {
    const revision = Number(await this.client.deleteResult(this.key));
    this.tell({ key: this.key, factor: this.factor, acked: 0, revision });
  }
}
