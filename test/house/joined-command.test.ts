import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

const FOLDER = 'dist/bin';
/** The package of an import that is no file of ours. */
const IMPORTED = /\b(?:from|import)\s*\(?"((?:@[\w-]+\/)?[a-z][\w.-]*)(?:\/[\w./-]*)?"/g;

/** Where a package's packages lie is npm's to decide: the joined files find only those that are ours. */
test('the joined command imports nothing but what Node has and what package.json names', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> };
  const imported = new Set<string>();
  for (const name of readdirSync(FOLDER))
    for (const line of readFileSync(join(FOLDER, name), 'utf8').split('\n'))
      // Examples in comments are no imports.
      if (/^(import|export)\b|await import\(/.test(line))
        for (const [, found = ''] of line.matchAll(IMPORTED)) if (!builtinModules.includes(found)) imported.add(found);
  expect(imported).toContain('level');
  expect([...imported].filter((name) => dependencies[name] === undefined)).toEqual([]);
});

/** All files that are loaded with one, before anything asks for more. */
function loadedWith(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, path = ''] of text.matchAll(/^(?:import|export)\b(?:[^;]*?\bfrom)?\s*["'](\.[^"']+)["']/gm))
    loadedWith(normalize(join(dirname(file), path)), found);
  return found;
}

const usesConnect = (file: string) => readFileSync(file, 'utf8').includes('connectrpc');

test('what only some commands need is loaded by them alone: formats of files, plots', () => {
  const files = readdirSync(FOLDER).map((name) => join(FOLDER, name));
  const [program = ''] = files.filter((file) => /program-[^/]+\.js$/.test(file));
  const atStart = [...loadedWith(join(FOLDER, 'optistore.js')), ...loadedWith(program)];
  const rare = /^import\b[^;]*["'](apache-arrow|hyparquet|hyparquet-compressors|hyparquet-writer|snappy)["'/]/m;
  expect(files.filter((file) => rare.test(readFileSync(file, 'utf8'))).length).toBeGreaterThan(1);
  expect(atStart.filter((file) => rare.test(readFileSync(file, 'utf8')))).toEqual([]);
  // Of plots, by a class that only they have.
  expect(atStart.filter((file) => readFileSync(file, 'utf8').includes('class RunRows'))).toEqual([]);
});

describe('Connect is loaded by those alone who use it', () => {
  test('of the joined command: by the web port', () => {
    const files = readdirSync(FOLDER).map((name) => join(FOLDER, name));
    expect(files.filter(usesConnect)).toEqual([expect.stringMatching(/web-[^/]+\.js$/)]);
    const atStart = [...loadedWith(join(FOLDER, 'optistore.js'))];
    expect(atStart.length).toBeGreaterThan(1);
    expect(atStart.filter(usesConnect)).toEqual([]);
  });

  test('of the client: by optistore/client/connect, not by optistore/client', () => {
    const importing = (file: string) => /from ['"]@connectrpc\//.test(readFileSync(file, 'utf8'));
    const client = [...loadedWith('dist/clients/typescript/index.js')];
    expect(client).toContain('dist/clients/typescript/connect-link.js');
    expect(client.filter(importing)).toEqual([]);
    const connect = [...loadedWith('dist/clients/typescript/connect-transport.js')];
    expect(connect.filter(importing)).toEqual(['dist/clients/typescript/connect-transport.js']);
    // Nor does one load grpc-js for the other.
    expect(connect.filter((file) => readFileSync(file, 'utf8').includes("from '@grpc/grpc-js'"))).toEqual([]);
  });
});
