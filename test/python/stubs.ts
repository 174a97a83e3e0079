import { readdirSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from './virtualenv.js';

const PROTO = resolve('proto');

/** Generates Python from the contract, and from nothing else of the repository, into a folder of its own. */
export async function generateStubs(python: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'optistore-python-'));
  const files = ['optistore/v1', 'google/rpc'].flatMap((path) =>
    readdirSync(join(PROTO, path)).map((name) => `${path}/${name}`),
  );
  const out = [`--python_out=${folder}`, `--grpc_python_out=${folder}`];
  await run(python, ['-m', 'grpc_tools.protoc', `-I${PROTO}`, ...out, ...files], { timeout: 60_000 });
  return folder;
}
