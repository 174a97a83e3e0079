import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { TestDaemon } from '../rpc/wire.js';

const run = promisify(execFile);
const HERE = resolve('test/python');

/** A Python with what requirements.txt names; made once for each version of that file. */
async function python(): Promise<string> {
  const requirements = join(HERE, 'requirements.txt');
  const mark = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const cache = resolve('node_modules/.cache');
  const folder = join(cache, `optistore-python-${mark}`);
  if (!existsSync(folder)) {
    const making = `${folder}.making-${process.pid}`;
    await mkdir(cache, { recursive: true });
    await run('python3', ['-m', 'venv', making]);
    await run(join(making, 'bin/python'), ['-m', 'pip', 'install', '--quiet', '--requirement', requirements]);
    await rename(making, folder);
  }
  return join(folder, 'bin/python');
}

let interpreter: string;
beforeAll(async () => {
  interpreter = await python();
});

test('a Python client made only from the .proto files saves, is cut off, resumes and loads, bit for bit', async () => {
  const generated = await mkdtemp(join(tmpdir(), 'optistore-python-'));
  try {
    const protos = ['optistore/v1/problem', 'optistore/v1/rows', 'optistore/v1/result', 'optistore/v1/errors'];
    const files = [...protos, 'optistore/v1/storage_service', 'google/rpc/status', 'google/rpc/error_details'];
    const flags = [`--proto_path=${resolve('proto')}`, `--python_out=${generated}`, `--grpc_python_out=${generated}`];
    await run(interpreter, ['-m', 'grpc_tools.protoc', ...flags, ...files.map((file) => `${file}.proto`)]);
    await using daemon = await TestDaemon.start();
    const env = { ...process.env, PYTHONPATH: generated };
    const { stdout } = await run(interpreter, [join(HERE, 'client.py'), daemon.address], { env });
    expect(JSON.parse(stdout)).toMatchObject({
      saved: { acked: 2000, revision: 1, rows: 5000 },
      whole: true,
      part: true,
      listed: ['python/run'],
      errors: [
        ['NOT_FOUND', 'RESULT_NOT_FOUND'],
        ['INVALID_ARGUMENT', 'KEY_INVALID'],
        ['NOT_FOUND', 'COLUMN_NOT_FOUND'],
        ['OUT_OF_RANGE', 'ROW_GAP'],
      ],
    });
  } finally {
    await rm(generated, { recursive: true });
  }
}, 120_000);
