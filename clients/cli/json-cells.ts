import { ValueType, type Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { isStorable, parseFloat64, parseInt64, textFault, type Cell } from './cells.js';
import { InputError } from './input-error.js';

/** A number of JSON as it was written, where a double would not hold it or JSON has no word for it. */
export class WrittenNumber {
  constructor(readonly text: string) {}

  toJSON(): string {
    return this.text;
  }
}

/** A value of JSON as one of the variable; null is missing. InputError that begins with `where`, such as `Line 3`. */
export function fromJsonValue(variable: Variable, value: unknown, where: string): Cell {
  if (value === null || value === undefined) return null;
  const { valueType } = variable;
  if (typeof value === 'number' && valueType === ValueType.FLOAT64) return value;
  if (typeof value === 'boolean' && valueType === ValueType.BOOL) return value;
  if (typeof value === 'string' && valueType === ValueType.STRING) {
    if (isStorable(value)) return value;
    throw new InputError(`${where} of "${variable.name}" has ${textFault(value)}.`);
  }
  if (typeof value === 'number' && valueType === ValueType.INT64 && Number.isSafeInteger(value)) return BigInt(value);
  const text = value instanceof WrittenNumber ? value.text : value;
  const integer = typeof text === 'string' && valueType === ValueType.INT64 ? parseInt64(text) : undefined;
  if (integer !== undefined) return integer;
  const special = typeof text === 'string' && valueType === ValueType.FLOAT64 ? parseFloat64(text) : undefined;
  if (special !== undefined) return special;
  throw new InputError(
    `${where} of "${variable.name}" is ${JSON.stringify(value)}; the variable is ${ValueType[valueType]}.`,
  );
}
