import { Outcome } from '../../proto/gen/optistore/v1/result_pb.js';
import type { Field, Operator, Value } from './filter.js';
import type { Scanner } from './scanner.js';

const OUTCOMES = Object.values(Outcome).filter((name): name is string => typeof name === 'string');
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d)))?$/;

/** What a field is compared with. */
export function kindOf(field: Field): 'text' | 'number' | 'time' | 'state' | 'outcome' {
  switch (field.name) {
    case 'key':
    case 'problem':
    case 'solver':
    case 'description':
    case 'upload_id':
    case 'tag':
      return 'text';
    case 'state':
    case 'outcome':
      return field.name;
    case 'row_count':
    case 'size_bytes':
    case 'revision':
    case 'best':
      return 'number';
    case 'create_time':
    case 'commit_time':
    case 'update_time':
      return 'time';
    default:
      return field satisfies never;
  }
}

/** Takes the value that a field is compared with; of a text with a star at its end and `=`, the beginning. FILTER_INVALID. */
export function takeValue(scanner: Scanner, field: Field, operator: Operator): { operator: Operator; value: Value } {
  const from = scanner.at;
  const kind = kindOf(field);
  const quoted = scanner.takeQuoted();
  const text = quoted?.text ?? scanner.take(/[^\s()"]+/y);
  if (text === undefined) return scanner.fail(EXPECTED[kind], from);
  if (kind === 'text')
    return quoted?.isOpen === true && operator === '='
      ? { operator: 'prefix', value: text.slice(0, -1) }
      : { operator, value: text };
  const value = readValue(kind, text);
  if (value === undefined) return scanner.fail(EXPECTED[kind], from);
  return { operator, value };
}

const EXPECTED = {
  text: 'a text, in double quotes if it has spaces or parentheses',
  number: 'a number, such as 12 or -2.5e-3',
  time: 'a time, such as 2026-11-24 or "2026-11-24T10:30:00Z"',
  state: 'COMMITTED',
  outcome: OUTCOMES.join(' or '),
};

function readValue(kind: 'number' | 'time' | 'state' | 'outcome', text: string): Value {
  switch (kind) {
    case 'number':
      return NUMBER.test(text) && Number.isFinite(Number(text)) ? Number(text) : undefined;
    case 'time':
      return readTime(text);
    case 'state':
      return text === 'COMMITTED' ? text : undefined;
    case 'outcome':
      return OUTCOMES.includes(text) ? text : undefined;
    default:
      return kind satisfies never;
  }
}

/** A time as nanoseconds since 1970: RFC 3339, or a date alone, which is its midnight in UTC. */
function readTime(text: string): bigint | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', sign, zoneHour, zoneMinute] =
    match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  // The 30th of February is read as a day of March.
  if (Number.isNaN(ms) || new Date(ms).getUTCDate() !== Number(day)) return undefined;
  const offset = sign === undefined ? 0 : (Number(zoneHour) * 60 + Number(zoneMinute)) * (sign === '-' ? -1 : 1);
  return BigInt(ms - offset * 60_000) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
