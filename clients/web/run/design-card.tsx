import { VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { RowClass } from '../../../server/rows/front/row-classes.js';
import { formatCount, formatNumber } from '../parts/format.js';
import { MarkSign } from '../plots/legend.js';
import { classMarks } from '../plots/marks.js';
import type { RunColumn } from '../rows/columns.js';
import { hasObjectives } from '../rows/plot-columns.js';
import { rowNumber, type RunRows } from '../rows/run-rows.js';
import { ValueType } from '../../../proto/gen/optistore/v1/problem_pb.js';

const VALUES_MAX = 36;
const ROLE_ORDER = [
  VariableRole.OBJECTIVE,
  VariableRole.INEQUALITY_CONSTRAINT,
  VariableRole.EQUALITY_CONSTRAINT,
  VariableRole.DESIGN_VARIABLE,
  VariableRole.OBSERVABLE,
];

/** A row with all its values and their units: objectives first. */
export function DesignCard({
  rows,
  classes,
  row,
}: {
  readonly rows: RunRows;
  readonly classes: Uint8Array;
  readonly row: number;
}) {
  const mark = classMarks(hasObjectives(rows.variables))[classes[row] ?? RowClass.FEASIBLE];
  const order = (column: RunColumn) => ROLE_ORDER.indexOf(column.variable.role);
  const columns = rows.columns.toSorted((a, b) => order(a) - order(b));
  return (
    <>
      <header>
        {mark && <MarkSign shape={mark.shape} colour={mark.colour} />}
        <b>row {formatCount(rowNumber(rows, row))}</b>
        <span class="muted">{mark?.name}</span>
      </header>
      <dl class={columns.length > 14 ? 'two' : ''}>
        {columns.slice(0, VALUES_MAX).map((column) => (
          <div key={column.variable.name} class={column.variable.role === VariableRole.OBJECTIVE ? 'objective' : ''}>
            <dt>{column.variable.name}</dt>
            <dd class="number">
              {textOf(column, row)} <span class="muted">{column.variable.unit}</span>
            </dd>
          </div>
        ))}
      </dl>
      {columns.length > VALUES_MAX && <p class="muted">and {columns.length - VALUES_MAX} more columns</p>}
    </>
  );
}

/** A value as people read it; a missing one is empty. */
export function textOf(column: RunColumn, row: number, digits = 6): string {
  if (column.kind === 'text') return column.text(row) ?? '';
  if (column.present?.[row] === 0) return '';
  if (column.integers !== undefined) return String(column.integers[row]);
  const value = column.values[row] ?? NaN;
  if (column.variable.valueType === ValueType.BOOL) return value === 1 ? 'true' : 'false';
  return formatNumber(value, digits);
}

/** A value as it is, to be read by programs. */
export function exactTextOf(column: RunColumn, row: number): string {
  if (column.kind === 'text' || column.present?.[row] === 0 || column.integers !== undefined)
    return textOf(column, row);
  const value = column.values[row] ?? NaN;
  return column.variable.valueType === ValueType.BOOL ? textOf(column, row) : String(value);
}
