import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { expect } from 'vitest';
import { valuesMeant, type ColumnType, type JsonColumn } from './columns.js';
import type { Answer } from './driver.js';
import type { Step } from './scenario.js';

/** Holds an answer to what its step says of it; without a word, it is to succeed. */
export function expectAnswer(step: Step, answer: Answer): void {
  const { expect: expected = {}, error, misuse, refused } = step;
  if (misuse !== undefined) expect(answer).toEqual({ misuse: expect.stringContaining(misuse) as string });
  else if (refused !== undefined && 'misuse' in answer) expect(answer.misuse).not.toBe('');
  else if (error !== undefined || refused !== undefined) expectError(answer, (error ?? refused) as JsonObject);
  else if ('ok' in answer) expectFields(answer.ok, expected);
  else expect.fail(`it fails: ${JSON.stringify(answer)}`);
}

function expectError(answer: Answer, { message, ...rest }: JsonObject): void {
  if (!('error' in answer)) expect.fail(`no error, but ${JSON.stringify(answer).slice(0, 500)}`);
  const { error } = answer;
  expectPart(error, rest, 'error');
  // What was wrong, and what to do.
  expect(error.message).toMatch(new RegExp(typeof message === 'string' ? message : '\\S+ \\S+'));
}

function expectFields(answer: JsonObject, { columns, names, ...rest }: JsonObject): void {
  expectPart(answer, rest, 'answer');
  if (columns !== undefined) expectColumns(answer, columns as JsonObject);
  if (names !== undefined) expect(Object.keys(answer['columns'] as JsonObject)).toEqual(names);
}

/** Whole columns: `{ range: [0, 5] }` and `{ rows: [3, 4] }` are those of all columns. */
function expectColumns(answer: JsonObject, meant: JsonObject): void {
  const columns = answer['columns'] as Record<string, JsonColumn>;
  const isOfAll = 'range' in meant || 'rows' in meant;
  if (!isOfAll) expect(Object.keys(columns).sort()).toEqual(Object.keys(meant).sort());
  for (const [name, { type, values }] of Object.entries(columns)) {
    const wanted = fromFirstRow(isOfAll ? meant : (meant[name] as JsonValue), answer['first_row']);
    expectValues(name, type, values, valuesMeant(name, type, wanted));
  }
}

/** `range: [first_row, 9]` begins where the answer does. */
function fromFirstRow(meant: JsonValue, firstRow: JsonValue | undefined): JsonValue {
  const range = meant !== null && typeof meant === 'object' && 'range' in meant ? meant.range : undefined;
  return Array.isArray(range) && range[0] === 'first_row' ? { range: [firstRow as number, range[1] as number] } : meant;
}

/** Not `toEqual` of the whole, which takes minutes to say how two long columns differ. */
function expectValues(name: string, type: ColumnType, values: JsonValue[], wanted: JsonValue[]): void {
  const same = (a: JsonValue | undefined, b: JsonValue | undefined) => Object.is(a, b);
  const first = wanted.findIndex((value, i) => !same(values[i], value));
  if (first >= 0)
    expect(values.slice(first, first + 5), `${name} (${type}) from its value ${first} on`).toEqual(
      wanted.slice(first, first + 5),
    );
  expect(values.length, `values of ${name}`).toBe(wanted.length);
}

/**
 * What an answer has, among other things: objects have at least these fields, lists exactly these elements. `{ matches }` is a
 * pattern, `{ at_least }` a number, `{ includes }` and `{ ends }` are elements of a list, null what is absent. An absent field is
 * the zero of its type, as in protobuf JSON.
 */
function expectPart(found: JsonValue | undefined, wanted: JsonValue, path: string): void {
  if (wanted === null) {
    expect(found ?? null, path).toBeNull();
  } else if (Array.isArray(wanted)) {
    const list = (found ?? []) as JsonValue[];
    expect(list.length, `${path}: ${JSON.stringify(list).slice(0, 500)}`).toBe(wanted.length);
    for (const [i, element] of wanted.entries()) expectPart(list[i], element, `${path}[${i}]`);
  } else if (typeof wanted === 'object') {
    if (typeof wanted['matches'] === 'string') expect(textOf(found), path).toMatch(new RegExp(wanted['matches']));
    else if (typeof wanted['at_least'] === 'number')
      expect(Number(found), path).toBeGreaterThanOrEqual(wanted['at_least']);
    else if (Array.isArray(wanted['includes'])) expect(found, path).toEqual(expect.arrayContaining(wanted['includes']));
    else if (Array.isArray(wanted['ends'])) expectEnd(found, wanted['ends'], path);
    else
      for (const [name, part] of Object.entries(wanted))
        expectPart(((found ?? {}) as JsonObject)[name], part, `${path}.${name}`);
  } else {
    // 64-bit numbers are texts in protobuf JSON.
    expect(textOf(found ?? zeroLike(wanted)), path).toBe(String(wanted));
  }
}

/** A list that is not empty, and the last elements of another. */
function expectEnd(found: JsonValue | undefined, whole: JsonValue[], path: string): void {
  const { length } = (found ?? []) as JsonValue[];
  expect(length, `${path}: elements`).toBeGreaterThan(0);
  expectPart(found, whole.slice(-length), path);
}

function zeroLike(wanted: string | number | boolean): JsonValue {
  return typeof wanted === 'number' ? 0 : typeof wanted === 'boolean' ? false : '';
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
