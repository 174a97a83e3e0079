import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { growingColumn, type TextColumn } from '../../clients/web/rows/columns.js';
import { ValueType, VariableSchema } from '../../proto/gen/optistore/v1/problem_pb.js';
import { ColumnSchema, type Column } from '../../proto/gen/optistore/v1/rows_pb.js';

const NOTE = create(VariableSchema, { name: 'note', valueType: ValueType.STRING });

/** Strings as they come. */
function columnOf(texts: readonly (string | null)[]): Column {
  const parts = texts.map((text) => new TextEncoder().encode(text ?? ''));
  const offsets = new Uint32Array(texts.length + 1);
  parts.forEach(({ length }, i) => (offsets[i + 1] = (offsets[i] ?? 0) + length));
  const validity = new Uint8Array(Math.ceil(texts.length / 8));
  texts.forEach((text, i) => (validity[i >>> 3] = (validity[i >>> 3] ?? 0) | (Number(text !== null) << (i & 7))));
  const utf8 = new Uint8Array(Buffer.concat(parts));
  return create(ColumnSchema, {
    values: { case: 'stringValues', value: { offsets: new Uint8Array(offsets.buffer), utf8 } },
    validity,
  });
}

const textsOf = (view: TextColumn) => Array.from({ length: view.length }, (_, row) => view.text(row));

describe('a column of strings that grows', () => {
  test('has its strings however often rows are left out, and what was shown before stays', () => {
    const column = growingColumn(NOTE, 0);
    column.append(columnOf(['a', null, 'ü']), 3);
    column.append(columnOf(['', 'dd']), 2);
    const before = column.view() as TextColumn;
    column.keep(Uint32Array.of(1, 2, 3));
    expect(textsOf(column.view() as TextColumn)).toEqual([undefined, 'ü', '']);
    column.append(columnOf(['e']), 1);
    column.keep(Uint32Array.of(1, 3));
    column.append(columnOf([null, 'f']), 2);
    expect(textsOf(column.view() as TextColumn)).toEqual(['ü', 'e', undefined, 'f']);
    expect(textsOf(before)).toEqual(['a', undefined, 'ü', '', 'dd']);
    column.keep(new Uint32Array(0));
    expect(textsOf(column.view() as TextColumn)).toEqual([]);
  });

  test('lets go of the batches whose rows are left out: a save that is followed for days fills no memory', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const column = growingColumn(NOTE, 0);
    const batches = Array.from({ length: 10 }, (_, i) => {
      const batch = columnOf([`first ${i}`, `second ${i}`]);
      column.append(batch, 2);
      return new WeakRef((batch.values.value as { utf8: Uint8Array }).utf8);
    });
    column.keep(Uint32Array.of(0, 19));
    await new Promise((resolve) => setTimeout(resolve, 0));
    collect();
    expect(batches.filter((batch) => batch.deref() !== undefined)).toEqual([]);
    expect(textsOf(column.view() as TextColumn)).toEqual(['first 0', 'second 9']);
  });
});
