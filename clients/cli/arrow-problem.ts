import { create, fromJson, fromJsonString, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import type { Field, Schema } from 'apache-arrow/schema';
import type { DataType } from 'apache-arrow/type';
import { ProblemSchema, ValueType, type Problem, type Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { nameOfType, valueTypeOf } from './arrow-columns.js';
import { parseFloat64 } from './cells.js';
import { InputError } from './input-error.js';
import { METADATA } from './table-metadata.js';

/** What the metadata of a field may say beside role and direction, by the names of Variable's fields. */
const TOLD_TEXTS = ['unit', 'description'];
const TOLD_NUMBERS = ['lower_bound', 'upper_bound', 'ideal', 'nadir', 'target', 'tolerance'];
const OTHERWISE = 'or name a problem with --problem problem.json';

/**
 * The problem that a schema of Arrow, or of Parquet, tells of: by its fields' metadata, as `Rows.to_arrow`, the store `filesystem` and
 * `optistore export` write it, and by the whole problem, which the last adds. InputError.
 */
export function problemOfSchema({ fields, metadata }: Schema): Problem {
  const whole = wholeProblem(metadata);
  const ofWhole = fields.map(({ name }) => whole?.variables.find((variable) => variable.name === name));
  const hasRoles = fields.some((field) => field.metadata.has('role'));
  if (whole !== undefined && !hasRoles && !ofWhole.includes(undefined))
    return create(ProblemSchema, { ...whole, variables: ofWhole as Variable[] });
  const json: JsonObject = { variables: fields.map(variableOf) };
  const name = metadata.get(METADATA.problem);
  const solver = metadata.get(METADATA.solver);
  if (name !== undefined) json['name'] = name;
  if (solver !== undefined) json['solver'] = solver;
  const problem = toProblem(json);
  // Fields do not tell these.
  problem.description = whole?.description ?? '';
  for (const [i, variable] of problem.variables.entries()) variable.categories = ofWhole[i]?.categories ?? [];
  return problem;
}

function wholeProblem(metadata: Schema['metadata']): Problem | undefined {
  const text = metadata.get(METADATA.problemJson);
  return text === undefined ? undefined : toProblem(text);
}

function toProblem(json: JsonObject | string): Problem {
  try {
    return typeof json === 'string' ? fromJsonString(ProblemSchema, json) : fromJson(ProblemSchema, json);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new InputError(`The metadata of the schema is not that of a problem: ${what}. Correct it, ${OTHERWISE}.`);
  }
}

function variableOf({ name, type, metadata }: Field): JsonValue {
  const role = metadata.get('role');
  if (role === undefined)
    throw new InputError(
      `No problem is given, and the schema does not say what "${name}" is. Give its field the metadata role (design_variable, objective, inequality_constraint, equality_constraint or observable), ${OTHERWISE}.`,
    );
  const direction = metadata.get('direction');
  if (role === 'objective' && direction === undefined)
    throw new InputError(
      `The schema does not say which way the objective "${name}" improves. Give its field the metadata direction (minimize or maximize), ${OTHERWISE}.`,
    );
  const valueType = valueTypeOf(type as DataType);
  if (valueType === undefined)
    throw new InputError(
      `"${name}" is ${nameOfType(type as DataType)} in the input, which no variable can be. Cast it, or leave it out.`,
    );
  return {
    name,
    role: `VARIABLE_ROLE_${role.toUpperCase()}`,
    valueType: `VALUE_TYPE_${ValueType[valueType]}`,
    ...(direction !== undefined && { direction: `DIRECTION_${direction.toUpperCase()}` }),
    ...Object.fromEntries(TOLD_TEXTS.flatMap((key) => (metadata.has(key) ? [[key, metadata.get(key) ?? '']] : []))),
    ...Object.fromEntries(
      TOLD_NUMBERS.flatMap((key) => (metadata.has(key) ? [[key, numberOf(metadata.get(key) ?? '')]] : [])),
    ),
  };
}

/** As protobuf JSON has it; Python writes `inf`. What is none is refused with the rest. */
function numberOf(text: string): JsonValue {
  const value = parseFloat64(text) ?? text;
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}
