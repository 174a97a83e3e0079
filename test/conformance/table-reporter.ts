import { mkdirSync, writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

const FILE = 'dist/conformance.md';

/** Makes the table scenario × client of what the tests of conformance found; none where they did not run. */
export default class TableReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const cases = modules
      .filter(({ moduleId }) => moduleId.includes('/test/conformance/'))
      .flatMap((module) => [...module.children.allTests()]);
    if (cases.length > 0) writeTable(cases);
  }
}

const MARKS = { passed: 'yes', failed: '**NO**', skipped: 'skipped', pending: 'not run' } as const;

function writeTable(cases: readonly TestCase[]): void {
  const clients: string[] = [];
  const rows = new Map<string, Map<string, string>>();
  for (const test of cases) {
    const [client, topic, scenario] = test.fullName.split(' > ') as [string, string, string];
    if (!clients.includes(client)) clients.push(client);
    const row = `${topic} | ${scenario}`;
    rows.set(row, (rows.get(row) ?? new Map<string, string>()).set(client, MARKS[test.result().state]));
  }
  clients.sort();
  const lines = [...rows].map(
    ([row, marks]) => `| ${row} | ${clients.map((client) => marks.get(client) ?? 'not run').join(' | ')} |`,
  );
  const passed = cases.filter((test) => test.result().state === 'passed').length;
  const text = [
    `| | scenario | ${clients.join(' | ')} |`,
    `| --- | --- |${' --- |'.repeat(clients.length)}`,
    ...lines.sort(),
    '',
    `${rows.size} scenarios, ${clients.length} clients: ${passed} of ${rows.size * clients.length} hold.`,
    '',
  ].join('\n');
  mkdirSync('dist', { recursive: true });
  writeFileSync(FILE, text);
}
