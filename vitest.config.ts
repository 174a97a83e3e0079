import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** The long campaigns of `make faults` go on for hours where they are told to, one behind the other. */
const faults = { testTimeout: 4 * 3_600_000, fileParallelism: false, globalSetup: ['test/faults/table.ts'] };

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Many tests start daemons: a busy machine takes its time over that.
    testTimeout: 60_000,
    // They wait for disks and daemons a good part of their time: with one for each core, a fifth of a machine has nothing to do.
    maxWorkers: Math.ceil(availableParallelism() * 1.5),
    hookTimeout: 300_000,
    expect: { poll: { timeout: 10_000 } },
    ...(process.env['FAULTS'] === 'long' ? faults : {}),
    reporters: ['default', ['json', { outputFile: 'dist/test-report.json' }], './test/conformance/table-reporter.ts'],
  },
});
