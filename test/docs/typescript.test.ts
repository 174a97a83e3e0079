import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Running } from '../cli/cli.js';
import { TestDaemon } from '../rpc/wire.js';

const PAGE = 'docs/clients/typescript.md';
/** Within the package: only there do the examples find it by its name. */
const FOLDER = resolve('dist/examples-of-docs');

interface Example {
  /** Of the section that it is in. */
  readonly heading: string;
  readonly code: string;
  /** What the page says that it prints. */
  readonly prints: string;
}

/** Each block of TypeScript, with the block of text behind it. */
function examplesOf(page: string): Example[] {
  const parts = readFileSync(page, 'utf8').matchAll(/^## (.+)$|^```ts\n([^]*?)^```\n(?:\n```text\n([^]*?)^```\n)?/gm);
  let heading = '';
  return [...parts].flatMap(([, title, code, prints = '']) => {
    heading = title ?? heading;
    return code === undefined ? [] : [{ heading, code, prints }];
  });
}

const examples = examplesOf(PAGE).map((example, i) => ({ ...example, file: join(FOLDER, `example-${i}.mts`) }));

beforeAll(() => {
  mkdirSync(FOLDER, { recursive: true });
  for (const { file, code } of examples) writeFileSync(file, code);
});
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  module: ts.ModuleKind.NodeNext,
  types: ['node'],
  strict: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: true,
};

describe(`the examples of ${PAGE}`, () => {
  test('are there, and each says what it prints', () => {
    expect(examples.length).toBeGreaterThan(7);
    expect(examples.filter(({ prints }) => prints === '')).toEqual([]);
  });

  test('have no error of types', () => {
    const program = ts.createProgram(
      examples.map(({ file }) => file),
      { ...OPTIONS, noEmit: true },
    );
    const found = ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText, file }) => [file?.fileName, ts.flattenDiagnosticMessageText(messageText, '\n')]);
    expect(found).toEqual([]);
  });

  test('do what they say, one behind the other, at one daemon', async () => {
    await using daemon = await TestDaemon.start();
    for (const { heading, code, prints, file } of examples) {
      const program = file.replace('.mts', '.mjs');
      writeFileSync(program, ts.transpileModule(code, { fileName: file, compilerOptions: OPTIONS }).outputText);
      await using running = Running.start([program], { env: { OPTISTORE_SERVER: daemon.address } });
      const { code: exitCode, stdout, stderr } = await running.ended();
      expect({ heading, exitCode, stdout, stderr }).toEqual({ heading, exitCode: 0, stdout: prints, stderr: '' });
    }
  });
});
