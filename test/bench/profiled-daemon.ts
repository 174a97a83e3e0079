/** Runs the daemon of `make profile`: as always, with a profile of where its processor time went, in dist/profile/ when it ends. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join, resolve } from 'node:path';

const FOLDER = resolve('dist/profile');
const SAMPLE_EVERY_US = 500;

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US });
session.post('Profiler.start');
process.once('exit', () => {
  // A session in the process itself answers before post returns.
  session.post('Profiler.stop', (_, { profile }) => {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(join(FOLDER, `daemon-${process.pid}.cpuprofile`), JSON.stringify(profile));
  });
});
await import('../../clients/cli/main.js');
