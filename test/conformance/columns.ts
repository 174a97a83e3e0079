import type { JsonObject, JsonValue } from '@bufbuild/protobuf';

/** Names of value types in commands and answers. */
export type ColumnType = 'float64' | 'int64' | 'bool' | 'string';

/**
 * A column in JSON. A missing value is null. An int64 is a decimal string. A float64 is a number, or one of the texts `NaN`,
 * `Infinity`, `-Infinity`, `-0.0`, or the 64 bits of another NaN in hexadecimal, such as `0x7ff0000000000001`.
 */
export interface JsonColumn extends JsonObject {
  type: ColumnType;
  values: JsonValue[];
}

const TYPES: Readonly<Record<string, ColumnType>> = {
  VALUE_TYPE_FLOAT64: 'float64',
  VALUE_TYPE_INT64: 'int64',
  VALUE_TYPE_BOOL: 'bool',
  VALUE_TYPE_STRING: 'string',
};

/** The columns' types of problems, which agree where they share a name. */
export function typesOf(problems: Iterable<JsonObject>): Map<string, ColumnType> {
  const types = new Map<string, ColumnType>();
  for (const { variables = [] } of problems)
    for (const { name, value_type: type } of variables as { name: string; value_type: string }[])
      types.set(name, TYPES[type] as ColumnType);
  return types;
}

/** The value of a column in a row of the runs that scenarios make up: some are missing, some are NaN. */
export function valueOfRow(name: string, type: ColumnType, row: number): JsonValue {
  const n = row + (name.codePointAt(0) as number);
  switch (type) {
    case 'float64':
      return n % 13 === 5 ? null : n % 17 === 3 ? 'NaN' : n * 0.37 - 5;
    case 'int64':
      return n % 11 === 4 ? null : String(BigInt(n) * 1234567891234n - 5000n);
    case 'bool':
      return n % 7 === 2 ? null : n % 3 === 0;
    case 'string':
      return n % 19 === 1 ? null : `row ${row}${['', ' ß', ' 日本'][n % 3]}`;
  }
}

/** A value as scenarios write it, in the one form that commands and answers have. */
export function canonical(type: ColumnType, value: JsonValue): JsonValue {
  if (value === null || typeof value === 'boolean' || typeof value === 'object' || type === 'string') return value;
  if (type === 'int64') return String(value);
  if (typeof value === 'string' || Number.isFinite(value)) return Object.is(value, -0) ? '-0.0' : value;
  return String(value);
}

/**
 * The values that a step means for a column: a list, or rows of the made up run: `{ rows: [3, 5] }`, or
 * `{ range: [first, end] }`.
 */
export function valuesMeant(name: string, type: ColumnType, meant: JsonValue): JsonValue[] {
  if (Array.isArray(meant)) return meant.map((value) => canonical(type, value));
  const { rows, range } = meant as { rows?: number[]; range?: [number, number] };
  const numbers =
    rows ?? Array.from({ length: (range?.[1] ?? 0) - (range?.[0] ?? 0) }, (_, i) => (range?.[0] ?? 0) + i);
  return numbers.map((row) => canonical(type, valueOfRow(name, type, row)));
}
