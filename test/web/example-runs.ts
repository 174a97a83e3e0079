import { expect } from 'vitest';
import { run } from '../cli/cli.js';

/** The runs in examples/. */
export type ExampleName = 'welded_beam' | 'beam_optuna' | 'bnh' | 'dtlz2';

/** Saves a run of examples/ under a key, by the command, as a user does. */
export async function saveExample(
  address: string,
  key: string,
  name: ExampleName,
  ...flags: readonly string[]
): Promise<void> {
  const problem = `examples/${name}.problem.json`;
  const args = ['save', key, `examples/${name}.csv`, '--problem', problem, '--server', address, ...flags];
  const { code, stderr } = await run(args);
  expect(code, stderr).toBe(0);
}
