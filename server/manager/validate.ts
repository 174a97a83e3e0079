import type { JsonObject } from '@bufbuild/protobuf';
import type { Problem, Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Direction, ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { encodedBytes } from '../messages/encode.js';
import { StorageError } from '../errors.js';
import {
  ATTRIBUTES_BYTES_MAX,
  DESCRIPTION_BYTES_MAX,
  KEY_BYTES_MAX,
  PROBLEM_BYTES_MAX,
  PROBLEM_NAME_BYTES_MAX,
  TAG_COUNT_MAX,
  TAG_NAME_BYTES_MAX,
  TAG_VALUE_BYTES_MAX,
  UPLOAD_ID_PATTERN,
  VARIABLE_COUNT_MAX,
  VARIABLE_NAME_BYTES_MAX,
} from '../limits.js';

// Control characters of Unicode: C0, DEL and C1.
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/u;
/** Whether a text has a control character. */
export const hasControl = (text: string) => CONTROL.test(text);
const bytesOf = (text: string) => Buffer.byteLength(text, 'utf8');

/** Refuses a key that breaks the rules at Result.key: KEY_INVALID. */
export function checkKey(key: string): void {
  const wrong = keyFault(key);
  if (wrong === undefined) return;
  throw new StorageError(
    'KEY_INVALID',
    `The key ${JSON.stringify(key.slice(0, 80))} ${wrong}. A key is 1 to ${KEY_BYTES_MAX} bytes of text, such as "runs/beam-1".`,
  );
}

/** Whether a key keeps the rules at Result.key. */
export function isKey(key: string): boolean {
  return keyFault(key) === undefined;
}

function keyFault(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (bytesOf(key) > KEY_BYTES_MAX) return `has ${bytesOf(key)} bytes`;
  if (!key.isWellFormed()) return 'is not valid Unicode';
  if (CONTROL.test(key)) return 'has a control character';
  if (key.startsWith('/') || key.endsWith('/')) return 'begins or ends with "/"';
  if (key.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')) {
    return 'has an empty, "." or ".." segment';
  }
  return undefined;
}

/** Refuses an upload id that breaks the rules at SaveOpen.upload_id: REQUEST_INVALID. */
export function checkUploadId(uploadId: string): void {
  if (UPLOAD_ID_PATTERN.test(uploadId)) return;
  throw invalid(
    `upload_id ${JSON.stringify(uploadId.slice(0, 80))} has ${bytesOf(uploadId)} bytes and is not 1 to 128 of the characters A-Z a-z 0-9 . _ : -; choose another, or leave it to the daemon`,
  );
}

/** Refuses tags, a description or attributes that are too large: REQUEST_INVALID. */
export function checkMetadata(
  tags: Readonly<Record<string, string>>,
  description: string,
  attributes: JsonObject | undefined,
): void {
  const names = Object.keys(tags);
  if (names.length > TAG_COUNT_MAX)
    throw invalid(
      `there are ${names.length} tags; at most ${TAG_COUNT_MAX} are kept. Put what nobody filters by into attributes`,
    );
  for (const name of names) {
    const shown = JSON.stringify(name.slice(0, 80));
    if (name === '' || CONTROL.test(name)) throw invalid(`the tag name ${shown} is empty or has a control character`);
    checkLength(`the tag name ${shown}`, name, TAG_NAME_BYTES_MAX);
    checkLength(`the value of tag ${shown}`, tags[name] ?? '', TAG_VALUE_BYTES_MAX);
  }
  checkLength('the description', description, DESCRIPTION_BYTES_MAX);
  if (attributes !== undefined) checkAttributes(attributes);
}

function checkAttributes(attributes: JsonObject): void {
  const json = JSON.stringify(attributes, (_, value: unknown) => {
    if (typeof value === 'number' && !Number.isFinite(value))
      throw invalid('the attributes hold NaN or an infinite number, which JSON has not; store it as text');
    return value;
  });
  checkLength('the attributes as JSON', json, ATTRIBUTES_BYTES_MAX);
}

function checkLength(what: string, text: string, bytesMax: number): void {
  if (bytesOf(text) > bytesMax) throw invalid(`${what} ${tooLong(text, bytesMax)}`);
}

function tooLong(text: string, bytesMax: number): string {
  return `has ${bytesOf(text)} bytes; at most ${bytesMax} are kept. Shorten it`;
}

/** Refuses a problem that breaks the rules at Problem and Variable: PROBLEM_INVALID, TOO_MANY_COLUMNS. */
export function checkProblem(problem: Problem): void {
  const { variables } = problem;
  if (variables.length > VARIABLE_COUNT_MAX) {
    throw new StorageError(
      'TOO_MANY_COLUMNS',
      `The problem has ${variables.length} variables; at most ${VARIABLE_COUNT_MAX} are kept. Split it into several results.`,
    );
  }
  if (bytesOf(problem.name) > PROBLEM_NAME_BYTES_MAX)
    throw new StorageError('PROBLEM_INVALID', `The problem's name ${tooLong(problem.name, PROBLEM_NAME_BYTES_MAX)}.`);
  const byteLength = encodedBytes(ProblemSchema, problem);
  if (byteLength > PROBLEM_BYTES_MAX) {
    throw new StorageError(
      'PROBLEM_INVALID',
      `The problem takes ${byteLength} bytes as protobuf; at most ${PROBLEM_BYTES_MAX} are kept. Shorten names and descriptions, or split it into several results.`,
    );
  }
  const seen = new Set<string>();
  for (const [i, variable] of variables.entries()) {
    const wrong = variableFault(variable) ?? (seen.has(variable.name) ? 'has the name of an earlier one' : undefined);
    if (wrong !== undefined) {
      throw new StorageError(
        'PROBLEM_INVALID',
        `Variable ${i} (${JSON.stringify(variable.name.slice(0, 80))}) ${wrong}.`,
      );
    }
    seen.add(variable.name);
  }
}

function variableFault(variable: Variable): string | undefined {
  const { name, role, valueType, direction, lowerBound, upperBound, tolerance } = variable;
  if (name === '') return 'has no name';
  if (bytesOf(name) > VARIABLE_NAME_BYTES_MAX) return `has a name that ${tooLong(name, VARIABLE_NAME_BYTES_MAX)}`;
  if (CONTROL.test(name)) return 'has a control character in its name';
  if (role === VariableRole.UNSPECIFIED || VariableRole[role] === undefined) return 'has no role that is known';
  if (valueType === ValueType.UNSPECIFIED || ValueType[valueType] === undefined)
    return 'has no value_type that is known';
  const isObjective = role === VariableRole.OBJECTIVE;
  if (isObjective !== (direction === Direction.MINIMIZE || direction === Direction.MAXIMIZE)) {
    return isObjective
      ? 'is an objective and needs a direction: minimize or maximize'
      : 'has a direction, but is no objective';
  }
  if (Number.isNaN(lowerBound) || Number.isNaN(upperBound)) return 'has NaN for a bound; leave it out if there is none';
  if (lowerBound !== undefined && upperBound !== undefined && lowerBound > upperBound)
    return 'has its lower bound above its upper bound';
  if (tolerance !== undefined && !(tolerance >= 0)) return 'has a negative tolerance';
  return undefined;
}

/** A uint64 of the wire as a number: REQUEST_INVALID beyond 2^53 − 1. */
export function checkedNumber(value: bigint, field: string): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  throw invalid(`${field} is ${value}; at most 2^53 − 1 is possible`);
}

/** The error for a field that is wrong. */
export function invalid(what: string): StorageError {
  return new StorageError('REQUEST_INVALID', `${what[0]?.toUpperCase() ?? ''}${what.slice(1)}.`);
}
