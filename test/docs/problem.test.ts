import { readFileSync } from 'node:fs';
import type { JsonValue } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { problemFrom } from '../../clients/cli/problem-json.js';
import {
  DirectionSchema,
  ProblemSchema,
  ValueTypeSchema,
  VariableRoleSchema,
  VariableSchema,
} from '../../proto/gen/optistore/v1/problem_pb.js';

const PAGE = readFileSync('docs/problem.md', 'utf8');

test('docs/problem.md has a problem that is one', () => {
  const [, json = ''] = /```json\n([^]*?)```/.exec(PAGE) ?? [];
  expect(problemFrom(JSON.parse(json) as JsonValue).variables).toHaveLength(4);
});

test('docs/problem.md names every field and every word of the contract', () => {
  const fields = [ProblemSchema, VariableSchema].flatMap((message) => message.fields.map(({ jsonName }) => jsonName));
  const words = [VariableRoleSchema, ValueTypeSchema, DirectionSchema].flatMap(({ values }) =>
    values.filter(({ number }) => number !== 0).map(({ name }) => name),
  );
  expect([...fields, ...words].filter((name) => !PAGE.includes(`${name}`))).toEqual([]);
});
