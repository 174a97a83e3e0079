import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '../../../clients/typescript/index.js';
import { Certificate } from '../../rpc/certificates.js';
import { startDaemon, type Bench } from '../bench.js';
import type { Measured } from '../figures.js';
import { loadBulk, saveBulk } from './bulk.js';

const GB = 1e9;

const FIGURES = {
  plainSave: { id: 'plain_save', what: 'save of 1 GB without TLS', unit: 'MB/s' },
  save: { id: 'tls_save', what: 'save of 1 GB over TLS', unit: 'MB/s', ceilings: ['plain_save'] },
  plainLoad: { id: 'plain_load', what: 'load of 1 GB without TLS', unit: 'MB/s' },
  load: { id: 'tls_load', what: 'load of 1 GB over TLS', unit: 'MB/s', ceilings: ['plain_load'] },
} satisfies Record<string, Measured>;

/** What TLS costs: the same save and load with it and without. */
export async function tls(bench: Bench): Promise<void> {
  const { figures, folder, times } = bench;
  await using certificate = await Certificate.make('bench');
  const { cert, key } = certificate.files;
  const config = join(folder, 'tls.yaml');
  await writeFile(config, `tls_cert: ${cert}\ntls_key: ${key}\n`);
  await using plainDaemon = await startDaemon(bench, 'plain');
  await using tlsDaemon = await startDaemon(bench, 'tls', ['--config', config]);
  await using plain = createClient({ address: plainDaemon.address });
  await using secure = createClient({ address: tlsDaemon.address, tls: { ca: cert } });
  for (let run = 0; run < times; run++) {
    await figures.rate(FIGURES.plainSave, GB / 1e6, () => saveBulk(plain, 'bench/tls', GB));
    await figures.rate(FIGURES.save, GB / 1e6, () => saveBulk(secure, 'bench/tls', GB));
    await figures.rate(FIGURES.plainLoad, GB / 1e6, () => loadBulk(plain, 'bench/tls'));
    await figures.rate(FIGURES.load, GB / 1e6, () => loadBulk(secure, 'bench/tls'));
  }
}
