import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';

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
