import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';

/** The rows of the tables of a document, without heads and lines. */
export function tableRows(document: string, isRow: (line: string) => boolean): string[] {
  return readFileSync(document, 'utf8').split('\n').filter(isRow);
}

/** Fails unless a cell such as `` `test/….test.ts`: name `` names a test that there is; several are parted by `<br>`. */
export function expectNamedTests(cell: string, row: string): void {
  for (const named of cell.split('<br>')) {
    const [, file = '', name = ''] = /^`(test\/\S+)`: (.+)$/.exec(named.trim()) ?? [];
    expect(existsSync(file), row).toBe(true);
    expect(readFileSync(file, 'utf8'), row).toContain(name);
  }
}
