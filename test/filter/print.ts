import type { Field, Filter, Value } from '../../server/filter/filter.js';

/** Writes a filter as text that means the same. */
export function printFilter(filter: Filter): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.parts.map((part) => `(${printFilter(part)})`).join(` ${filter.kind.toUpperCase()} `);
    case 'not':
      return `NOT (${printFilter(filter.part)})`;
    case 'comparison': {
      const field = printField(filter.field);
      if (filter.operator === 'has') return `${field}:*`;
      if (filter.operator === 'prefix') return `${field} = ${printText(filter.value as string, '*')}`;
      return `${field} ${filter.operator} ${printValue(filter.value)}`;
    }
    default:
      return filter satisfies never;
  }
}

function printField(field: Field): string {
  if (field.name === 'tag') return `tags.${printText(field.tag)}`;
  if (field.name === 'best') return `best.${printText(field.objective)}`;
  return field.name;
}

function printText(text: string, end = ''): string {
  return `"${text.replaceAll(/["\\*]/g, (character) => `\\${character}`)}${end}"`;
}

function printValue(value: Value): string {
  if (typeof value === 'string') return printText(value);
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (value === undefined) return '';
  const seconds = value / 1_000_000_000n;
  const iso = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `"${iso}.${String(value % 1_000_000_000n).padStart(9, '0')}Z"`;
}
