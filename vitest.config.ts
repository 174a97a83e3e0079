import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Many tests start daemons: a busy machine takes its time over that.
    testTimeout: 60_000,
    // They wait for disks and daemons more than they compute.
    maxWorkers: '100%',
    hookTimeout: 300_000,
    reporters: ['default', ['json', { outputFile: 'dist/test-report.json' }]],
  },
});
