import { fromJson, type JsonObject, type JsonValue } from '@bufbuild/protobuf';
import type { Field, Schema } from 'apache-arrow/schema';
import type { DataType } from 'apache-arrow/type';
import { ProblemSchema, ValueType, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { nameOfType, valueTypeOf } from './arrow-columns.js';
import { parseFloat64 } from './cells.js';
import { InputError } from './input-error.js';

/** What the metadata of a field may say beside role and direction, by the names of Variable's fields. */
const TOLD_TEXTS = ['unit', 'description'];
const TOLD_NUMBERS = ['lower_bound', 'upper_bound', 'ideal', 'nadir', 'target', 'tolerance'];
const OTHERWISE = 'or name a problem with --problem problem.json';

/** The problem that an Arrow schema tells of by its fields' metadata, as `Rows.to_arrow` and the store `filesystem` write it. InputError. */
export function problemOfSchema({ fields, metadata }: Schema): Problem {
  const json: JsonObject = { variables: fields.map(variableOf) };
  const name = metadata.get('optistore.problem');
  const solver = metadata.get('optistore.solver');
  if (name !== undefined) json['name'] = name;
  if (solver !== undefined) json['solver'] = solver;
  try {
    return fromJson(ProblemSchema, json);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new InputError(
      `The metadata of the Arrow schema is not that of a problem: ${what}. Correct it, ${OTHERWISE}.`,
    );
  }
}

function variableOf({ name, type, metadata }: Field): JsonValue {
  const role = metadata.get('role');
  if (role === undefined)
    throw new InputError(
      `No problem is given, and the Arrow schema does not say what "${name}" is. Give its field the metadata role (design_variable, objective, inequality_constraint, equality_constraint or observable), ${OTHERWISE}.`,
    );
  const direction = metadata.get('direction');
  if (role === 'objective' && direction === undefined)
    throw new InputError(
      `The Arrow schema does not say which way the objective "${name}" improves. Give its field the metadata direction (minimize or maximize), ${OTHERWISE}.`,
    );
  const valueType = valueTypeOf(type as DataType);
  if (valueType === undefined)
    throw new InputError(
      `"${name}" is ${nameOfType(type as DataType)} in the Arrow input, which no variable can be. Cast it, or leave it out.`,
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
