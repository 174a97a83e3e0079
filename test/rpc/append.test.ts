import { expect, test } from 'vitest';
import { Bench, problemOf } from '../cli/cli.js';
import { all } from '../backends/runs.js';
import { createClient, Direction, ValueType, VariableRole } from '../../clients/typescript/index.js';
import { TestDaemon } from './wire.js';

const PROBLEM = {
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'f', role: VariableRole.OBJECTIVE, valueType: ValueType.FLOAT64, direction: Direction.MINIMIZE },
  ],
};

test('a finished run is extended without sending it again, over a killed daemon', async () => {
  await using daemon = await TestDaemon.start();
  await using client = createClient({ address: daemon.address });
  const run = await client.save('k', PROBLEM, { tags: { a: '1' } });
  await run.append({ x: [0, 1], f: [0, -1] });
  await run.commit();
  const more = await client.append('k');
  expect(more.nextRow).toBe(2);
  await more.append({ x: [2], f: [-2] });
  await more.flush();
  await daemon.process.stop('SIGKILL');
  await daemon.restart();
  await more.append({ x: [3], f: [-3] });
  const result = await more.commit();
  expect(result).toMatchObject({ revision: 2n, rowCount: 4n, tags: { a: '1' } });
  const batches = await all(client.load('k'));
  expect(batches.flatMap(({ columns }) => [...(columns['x']?.values as Float64Array)])).toEqual([0, 1, 2, 3]);
  await expect(client.append('none')).rejects.toMatchObject({ reason: 'RESULT_NOT_FOUND' });
});

test('optistore save --append adds the rows of a file', async () => {
  await using bench = await Bench.start();
  await bench.save('k', 'n,x\n1,0.5\n', problemOf(['n', 'INT64'], ['x', 'FLOAT64']));
  const file = await bench.folder.file('more.csv', 'n,x\n2,1.5\n3,2.5\n');
  expect(await bench.ok('save', 'k', file, '--append')).toBe('k: 3 rows, revision 2\n');
  expect(await bench.ok('load', 'k')).toBe('n,x\n1,0.5\n2,1.5\n3,2.5\n');
});
