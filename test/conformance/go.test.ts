import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { conformance } from './conformance.js';
import { ProcessDriver } from './driver.js';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'optistore-go-driver-'));
  const build = ['build', '-o', join(folder, 'driver'), './internal/conformance'];
  await promisify(execFile)('go', build, { cwd: 'clients/go', timeout: 280_000 });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

conformance('Go', () => ProcessDriver.start(join(folder, 'driver'), []));
