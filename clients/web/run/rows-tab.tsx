import { batch, useComputed, useSignal, type ReadonlySignal } from '@preact/signals';
import { RowClass } from '../../../server/rows/front/row-classes.js';
import { Button } from '../parts/button.js';
import { formatCounted } from '../parts/format.js';
import { toast } from '../parts/toast.js';
import { shownWords, VirtualTable, type TableColumn, type TableOrder } from '../parts/virtual-table.js';
import type { RunColumn } from '../rows/columns.js';
import { rowNumber, type RunRows } from '../rows/run-rows.js';
import { exactTextOf, textOf } from './design-card.js';
import { orderedRows } from './row-order.js';
import type { RunModel } from './run-model.js';
import './table.css';

type Filter = 'all' | 'selected' | 'front';
const FILTERS: readonly [Filter, string][] = [
  ['all', 'All'],
  ['selected', 'Selected'],
  ['front', 'Front'],
];
/** A clipboard takes more, but no program that it is pasted into. */
const COPIED_MAX = 200_000;
const DIGITS = 7;
const CLASS_NAMES = ['infeasible', 'dominated', 'feasible', 'front'];

/** The rows as a table: ordered by a click on a column, selected by clicks and keys. */
export function RowsTab({ model }: { readonly model: RunModel }) {
  const filter = useSignal<Filter>('all');
  const order = useSignal<TableOrder | undefined>(undefined);
  const shown = useComputed(() => rowsShown(model, filter.value, order.value));
  const { rows, plotted, selection } = model;
  const { rowCount } = rows.value;
  const columns = useComputed(() => tableColumns(rows.value));
  const mask = selection.mask.value;
  const row = (place: number) => shown.value[place] ?? 0;
  const onOrder = (column: number) => {
    const before = order.peek();
    const isAgain = before?.column === column;
    order.value = isAgain && before.isDescending ? undefined : { column, isDescending: isAgain };
  };
  return (
    <section class="card rows-card" aria-label="Rows">
      <div class="plot-tools">
        <span class="segments" role="group" aria-label="Which rows">
          {FILTERS.map(([name, title]) => (
            <Button key={name} isPressed={filter.value === name} onClick={() => (filter.value = name)}>
              {title}
            </Button>
          ))}
        </span>
        <div class="tools">
          <RowKey counts={plotted.value.counts} />
          <span class="muted number">{shownWords(shown.value.length, rowCount)}</span>
          <Button icon="copy" onClick={() => void copy(model, shown)}>
            Copy as TSV
          </Button>
        </div>
      </div>
      {shown.value.length === 0 ? (
        <p class="nothing muted">
          {filter.value === 'selected'
            ? 'No row is selected: brush some in a plot, or click rows here.'
            : 'There is no such row.'}
        </p>
      ) : (
        <VirtualTable
          label="Rows of the run"
          columns={columns.value}
          rowCount={shown.value.length}
          cell={(place, column) => cellText(rows.value, row(place), column)}
          isSelected={(place) => mask?.[row(place)] === 1}
          rowClass={(place) => CLASS_NAMES[plotted.value.classes[row(place)] ?? RowClass.FEASIBLE] ?? ''}
          order={order}
          onOrder={onOrder}
          onSelect={(place, how, from) => select(model, shown.value, place, how, from)}
          onCopy={() => void copy(model, shown)}
        />
      )}
    </section>
  );
}

/** What the colours at the rows' left edges mean. */
function RowKey({ counts }: { readonly counts: readonly number[] }) {
  return [RowClass.FRONT, RowClass.INFEASIBLE].map((one) =>
    (counts[one] ?? 0) === 0 ? null : (
      <span key={one} class={`row-key ${CLASS_NAMES[one]}`}>
        {CLASS_NAMES[one]}
      </span>
    ),
  );
}

/** Rows whose texts tell how wide a column has to be. */
const LOOKED_AT = 40;

function tableColumns({ columns, rowCount }: RunRows): TableColumn[] {
  const number = { title: 'row', subtitle: '', widthEm: 6, isNumber: true };
  return [number, ...columns.map((column) => tableColumn(column, rowCount))];
}

function tableColumn(column: RunColumn, rowCount: number): TableColumn {
  const { variable, kind } = column;
  const step = Math.max(1, Math.floor(rowCount / LOOKED_AT));
  let longest = 0;
  for (let row = 0; row < rowCount; row += step) longest = Math.max(longest, textOf(column, row, DIGITS).length);
  const least = kind === 'text' ? 11 : 8.6;
  const widthEm = Math.max(least, Math.min(18, longest * 0.6 + 1.6), Math.min(16, variable.name.length * 0.62 + 2.2));
  return { title: variable.name, subtitle: variable.unit, widthEm, isNumber: kind === 'number' };
}

function cellText(rows: RunRows, row: number, column: number): string {
  if (column === 0) return String(rowNumber(rows, row));
  const found = rows.columns[column - 1];
  return found === undefined ? '' : textOf(found, row, DIGITS);
}

function rowsShown(model: RunModel, filter: Filter, order: TableOrder | undefined): Uint32Array {
  const { classes, rowCount } = model.plotted.value;
  const mask = filter === 'selected' ? (model.selection.mask.value ?? new Uint8Array(rowCount)) : undefined;
  const isShown = (row: number) =>
    (mask === undefined || mask[row] === 1) && (filter !== 'front' || classes[row] === RowClass.FRONT);
  return orderedRows(model.rows.value, isShown, order);
}

function select(
  model: RunModel,
  shown: Uint32Array,
  place: number,
  how: 'alone' | 'turn' | 'range',
  from: number,
): void {
  const { rowCount } = model.rows.peek();
  const row = shown[place] ?? 0;
  if (how !== 'range') {
    model.selection.pick(row, rowCount, how === 'turn');
    return;
  }
  const mask = new Uint8Array(rowCount);
  for (let i = Math.min(place, from); i <= Math.max(place, from); i++) mask[shown[i] ?? 0] = 1;
  batch(() => model.selection.change(mask, 'add'));
}

/** The rows that are selected, or all that are shown where none is, with their names and as they are. */
async function copy(model: RunModel, shown: ReadonlySignal<Uint32Array>): Promise<void> {
  const rows = model.rows.peek();
  const mask = model.selection.mask.peek();
  const wanted = mask === undefined ? shown.peek() : shown.peek().filter((row) => mask[row] === 1);
  const copied = wanted.subarray(0, COPIED_MAX);
  const lines = [['row', ...rows.columns.map(({ variable }) => variable.name)].join('\t')];
  for (const row of copied)
    lines.push([rowNumber(rows, row), ...rows.columns.map((column) => clean(exactTextOf(column, row)))].join('\t'));
  try {
    await navigator.clipboard.writeText(lines.join('\n'));
    toast(`${formatCounted(copied.length, 'row')} copied.`);
  } catch {
    toast('The browser does not allow this page to copy; over plain HTTP it does at 127.0.0.1 and localhost only.', {
      isError: true,
    });
  }
}

/** Tabs and line breaks part cells and rows. */
function clean(text: string): string {
  return text.replace(/[\t\r\n]+/g, ' ');
}
