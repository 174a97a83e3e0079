import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 300_000,
    reporters: ['default', ['json', { outputFile: 'dist/test-report.json' }]],
  },
});
