import {
  fromJson,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from '@bufbuild/protobuf';
import { ProblemSchema, type Problem } from '../../proto/gen/optistore/v1/problem_pb.js';
import { InputError } from './input-error.js';

/** The problem that someone has written as protobuf JSON. InputError, which names the variable that is wrong, and what was expected. */
export function problemFrom(json: JsonValue): Problem {
  try {
    return fromJson(ProblemSchema, json);
  } catch (error) {
    const mistake = mistakeIn(ProblemSchema, json, 'The problem');
    throw new InputError(mistake ?? (error instanceof Error ? `${error.message}.` : String(error)));
  }
}

/** The first name or word that is not known; undefined where the mistake is another one. */
function mistakeIn(message: DescMessage, json: JsonValue, place: string): string | undefined {
  if (!isObject(json)) return `${place} is ${JSON.stringify(json)}, where an object { … } was expected.`;
  for (const [name, value] of Object.entries(json)) {
    const field = message.fields.find((one) => one.jsonName === name || one.name === name);
    const mistake = field === undefined ? unknownName(message, name, place) : mistakeAt(field, value, place);
    if (mistake !== undefined) return mistake;
  }
  return undefined;
}

function unknownName(message: DescMessage, name: string, place: string): string {
  const known = message.fields.map(({ jsonName }) => jsonName).join(', ');
  return `${place} has "${name}", where one of these was expected: ${known}.`;
}

function mistakeAt(field: DescField, value: JsonValue, place: string): string | undefined {
  if (field.fieldKind === 'enum') return mistakeInWord(field.enum, field.jsonName, value, place);
  if (field.fieldKind !== 'list' || field.listKind !== 'message') return undefined;
  if (!Array.isArray(value)) return `"${field.jsonName}" is not a list [ … ].`;
  for (const [i, item] of value.entries()) {
    const mistake = mistakeIn(field.message, item, `Variable ${nameOf(item) ?? i + 1}`);
    if (mistake !== undefined) return mistake;
  }
  return undefined;
}

function mistakeInWord({ values }: DescEnum, name: string, value: JsonValue, place: string): string | undefined {
  if (typeof value === 'number' || values.some((known) => known.name === value)) return undefined;
  const words = values.filter(({ number }) => number !== 0).map((known) => known.name);
  return `"${name}" of ${place.replace(/^V/, 'v')} is ${JSON.stringify(value)}, where one of these was expected: ${words.join(', ')}.`;
}

function nameOf(variable: JsonValue): string | undefined {
  return isObject(variable) && typeof variable['name'] === 'string' ? `"${variable['name']}"` : undefined;
}

function isObject(json: JsonValue): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
