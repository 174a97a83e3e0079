import { FILTER_BYTES_MAX, FILTER_DEPTH_MAX } from '../limits.js';
import type { Comparison, Field, Filter, Operator } from './filter.js';
import { Scanner } from './scanner.js';
import { kindOf, takeValue } from './values.js';

const NAMED = ['tags.', 'best.'] as const;
const PLAIN = [
  ...['key', 'problem', 'solver', 'description', 'state', 'outcome', 'upload_id'],
  ...['row_count', 'size_bytes', 'revision', 'create_time', 'commit_time', 'update_time'],
];
/** The fields that filters know. */
export const FILTER_FIELDS: readonly string[] = [...PLAIN, ...NAMED.map((name) => `${name}NAME`)];

/**
 * Reads a filter: a subset of AIP-160 (https://google.aip.dev/160), described in docs/filter.md. AND and OR side by side
 * need parentheses, as languages differ in which of them binds tighter. Undefined for an empty text. FILTER_INVALID.
 */
export function parseFilter(text: string): Filter | undefined {
  const scanner = new Scanner(text);
  const byteLength = Buffer.byteLength(text);
  if (byteLength > FILTER_BYTES_MAX) scanner.fail(`a filter of at most ${FILTER_BYTES_MAX} bytes`, 0);
  if (scanner.isAtEnd()) return undefined;
  const filter = parseExpression(scanner, 0);
  if (!scanner.isAtEnd()) scanner.fail('AND, OR or the end');
  return filter;
}

function parseExpression(scanner: Scanner, depth: number): Filter {
  if (depth > FILTER_DEPTH_MAX) scanner.fail(`at most ${FILTER_DEPTH_MAX} levels of parentheses and NOT`);
  const first = parseTerm(scanner, depth);
  const parts = [first];
  let kind: 'and' | 'or' | undefined;
  for (;;) {
    const at = scanner.at;
    const joint = scanner.takeKeyword('AND') ? 'and' : scanner.takeKeyword('OR') ? 'or' : undefined;
    if (joint === undefined) break;
    if (kind !== undefined && kind !== joint)
      scanner.fail(`${kind.toUpperCase()}, or parentheses around one of the two`, at);
    kind = joint;
    parts.push(parseTerm(scanner, depth));
  }
  return kind === undefined ? first : { kind, parts };
}

function parseTerm(scanner: Scanner, depth: number): Filter {
  if (scanner.takeKeyword('NOT')) {
    if (depth >= FILTER_DEPTH_MAX) scanner.fail(`at most ${FILTER_DEPTH_MAX} levels of parentheses and NOT`);
    return { kind: 'not', part: parseTerm(scanner, depth + 1) };
  }
  if (!scanner.isAtEnd() && scanner.take(/\(/y) !== undefined) {
    const inner = parseExpression(scanner, depth + 1);
    if (scanner.isAtEnd() || scanner.take(/\)/y) === undefined) scanner.fail('AND, OR or a closing parenthesis');
    return inner;
  }
  return parseComparison(scanner);
}

function parseComparison(scanner: Scanner): Comparison {
  const field = parseField(scanner);
  const operator = parseOperator(scanner, field);
  if (operator === 'has') return { kind: 'comparison', field, operator, value: undefined };
  scanner.isAtEnd();
  return { kind: 'comparison', field, ...takeValue(scanner, field, operator) };
}

function parseField(scanner: Scanner): Field {
  scanner.isAtEnd();
  const from = scanner.at;
  const named = scanner.take(/(tags|best)\./y);
  if (named !== undefined) {
    const name = scanner.takeQuoted()?.text ?? scanner.take(/[^\s()"=!<>:]+/y);
    if (name === undefined || name === '') scanner.fail(`a name behind "${named}", in double quotes if it has spaces`);
    return named === 'tags.' ? { name: 'tag', tag: name } : { name: 'best', objective: name };
  }
  const word = scanner.take(/[a-z_.]+/y);
  const plain = word === 'problem.name' ? 'problem' : word;
  if (plain === undefined || !PLAIN.includes(plain)) scanner.fail(`a field (${FILTER_FIELDS.join(', ')})`, from);
  return { name: plain } as Field;
}

function parseOperator(scanner: Scanner, field: Field): Operator {
  scanner.isAtEnd();
  const from = scanner.at;
  const isNamed = field.name === 'tag' || field.name === 'best';
  if (isNamed && scanner.take(/:\s*\*/y) !== undefined) return 'has';
  // What many languages have for it; the second one would be taken for the value.
  if (scanner.take(/==/y) !== undefined) scanner.fail('a single = for "is the same"', from);
  const operator = scanner.take(/!=|<=|>=|=|<|>/y) as Operator | undefined;
  const isEnum = kindOf(field) === 'state' || kindOf(field) === 'outcome';
  if (operator !== undefined && (!isEnum || operator === '=' || operator === '!=')) return operator;
  const possible = isEnum ? '= or !=' : `=, !=, <, <=, > or >=${isNamed ? ', or :* for "is there"' : ''}`;
  return scanner.fail(possible, from);
}
