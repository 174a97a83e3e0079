import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ErrorReason } from '../../proto/gen/optistore/v1/errors_pb.js';
import { GrpcCode, StorageError, type Reason } from '../../server/errors.js';
import { CONFIG_KEYS } from '../../server/config.js';
import { expectNamedTests, tableRows } from './named-tests.js';

/** What any part of the server may import. */
const FOUNDATION = [
  'proto/gen',
  'server/messages',
  'server/rows',
  'server/filter',
  'server/errors.ts',
  'server/limits.ts',
  'server/times.ts',
  'server/text-order.ts',
];
/** What each part of the house may import, from all others. */
const MAY_IMPORT: readonly [folder: string, allowed: readonly string[]][] = [
  ['server/messages', ['server/messages']],
  ['server/rows', ['proto/gen', 'server/messages', 'server/rows', 'server/errors.ts', 'server/limits.ts']],
  ['server/filter', FOUNDATION],
  ['server/backends', [...FOUNDATION, 'server/backends']],
  // Of the stores, only the interface and what holds of the revisions of all of them.
  ['server/manager', [...FOUNDATION, 'server/manager', 'server/backends/backend.ts', 'server/backends/revisions.ts']],
  // The interface's types only; which backend it is, nobody here knows.
  ['server/rpc', [...FOUNDATION, 'server/manager', 'server/rpc', 'server/backends/backend.ts']],
  // It runs in a browser: what it takes of the server are functions on bytes and numbers.
  ['clients/web', ['proto/gen', 'server/rows', 'clients/typescript/errors.ts', 'clients/web']],
  ['clients/typescript', ['proto/gen', 'server/rows', 'server/limits.ts', 'server/loopback.ts', 'clients/typescript']],
];
/** The tree is built in one file. */
const BUILDS_THE_TREE = { 'server/manager/compose.ts': 'server/backends/open-backend.ts' };

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/from '(\.[^']+)\.js'/g)].map(
    (match) => `${normalize(join(dirname(file), match[1] ?? ''))}.ts`,
  );
}

describe('a layer knows only the one below', () => {
  test.each(MAY_IMPORT)('%s', (folder, allowed) => {
    const files = sources(folder);
    expect(files.length).toBeGreaterThan(1);
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter((path) => !allowed.some((start) => path.startsWith(start)))
        .filter((path) => (BUILDS_THE_TREE as Record<string, string>)[file] !== path)
        .map((path) => `${file} imports ${path}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the documentation', () => {
  const reasons = Object.keys(ErrorReason).filter((name) => Number.isNaN(Number(name)) && name !== 'UNSPECIFIED');

  test('names each reason of an error beside its code', () => {
    const text = readFileSync('docs/protocol.md', 'utf8');
    for (const reason of reasons) {
      const { code } = new StorageError(reason as Reason, '');
      const name = Object.entries(GrpcCode).find(([, number]) => number === code)?.[0];
      expect(text).toMatch(new RegExp(`^\\|[^|]*\\b${reason}\\b[^|]*\\| ${name} \\|$`, 'm'));
    }
  });

  test('names each key of the configuration, with its variable', () => {
    const text = readFileSync('docs/configuration.md', 'utf8');
    for (const key of CONFIG_KEYS) {
      if (key === 'primary' || key === 'secondary') continue;
      expect(text).toContain(`| \`${key}\` | \`OPTISTORE_${key.toUpperCase()}\` |`);
    }
  });

  test('names, for each guarantee, a test that there is', () => {
    const rows = tableRows('docs/guarantees.md', (line) => /^\| (?!promise |---)/.test(line));
    expect(rows.length).toBeGreaterThan(20);
    for (const row of rows) expectNamedTests(/\| (`test\/.+) \|$/.exec(row)?.[1] ?? '', row);
  });

  test('has no link that leads nowhere', () => {
    const docs = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
    for (const file of ['README.md', 'CHANGELOG.md', ...docs.map((name) => `docs/${name}`)]) {
      const links = [...readFileSync(file, 'utf8').matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(
        (match) => match[1] ?? '',
      );
      for (const link of links) expect(existsSync(join(dirname(file), link)), link).toBe(true);
    }
  });
});
