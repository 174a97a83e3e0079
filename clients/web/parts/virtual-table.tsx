import { useSignal, type ReadonlySignal, type Signal } from '@preact/signals';
import { useEffect, useId, useLayoutEffect, useRef } from 'preact/hooks';
import { formatCount, formatCounted } from './format.js';
import { firstColumnAt, lefts, rowsAround, type TablePlace } from './table-window.js';

/** A column of a table. */
export interface TableColumn {
  readonly title: string;
  /** Below the title, such as a unit. */
  readonly subtitle: string;
  /** In units of the text's size. */
  readonly widthEm: number;
  readonly isNumber: boolean;
}

/** How a table is ordered. */
export interface TableOrder {
  readonly column: number;
  readonly isDescending: boolean;
}

export interface VirtualTableProps {
  readonly label: string;
  readonly columns: readonly TableColumn[];
  readonly rowCount: number;
  /** Text of a cell, by the row's place in the table. */
  readonly cell: (row: number, column: number) => string;
  readonly isSelected: (row: number) => boolean;
  /** A class of a row, such as of its colour. */
  readonly rowClass: (row: number) => string;
  readonly order: ReadonlySignal<TableOrder | undefined>;
  readonly onOrder: (column: number) => void;
  /** A row was clicked, or chosen by Space: alone, in addition, or all up to it from the one before. */
  readonly onSelect: (row: number, how: 'alone' | 'turn' | 'range', from: number) => void;
  readonly onCopy: () => void;
}

const ROW_EM = 1.9;
const HEAD_EM = 3.1;

/** A table of as many rows and columns as there are: those that are seen are in the document. Arrow keys, Page Up and Down, Home and End go through it. */
export function VirtualTable(props: VirtualTableProps) {
  const { label, columns, rowCount } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const place = useSignal<TablePlace>({ top: 0, left: 0, width: 0, height: 0, em: 12 });
  const active = useSignal(0);
  const id = useId();
  useEffect(() => watch(scroller.current, place), []);
  const rowHeight = Math.round(ROW_EM * place.value.em);
  const headHeight = Math.round(HEAD_EM * place.value.em);
  const edges = lefts(columns, place.value.em);
  const [firstRow, endRow] = rowsAround(place.value, rowHeight, rowCount);
  const [firstColumn, endColumn] = [
    firstColumnAt(edges, place.value.left),
    firstColumnAt(edges, place.value.left + place.value.width) + 1,
  ];
  const seen = columns.slice(firstColumn, endColumn).map((column, i) => ({ column, index: firstColumn + i }));
  const at = Math.min(active.value, Math.max(0, rowCount - 1));
  useLayoutEffect(() => reveal(scroller.current, at, rowHeight, headHeight), [active.value]);
  return (
    <div
      ref={scroller}
      class="virtual-table"
      role="grid"
      aria-label={label}
      aria-rowcount={rowCount + 1}
      aria-colcount={columns.length}
      aria-multiselectable
      aria-activedescendant={rowCount > 0 ? `${id}-${at}` : undefined}
      tabIndex={0}
      onScroll={(event) => (place.value = placeOf(event.currentTarget))}
      onKeyDown={(event) => onKey(event, props, active, at, Math.floor((place.value.height - headHeight) / rowHeight))}
    >
      <div class="canvas" style={{ width: `${edges.at(-1)}px`, height: `${headHeight + rowCount * rowHeight}px` }}>
        <TableHead {...props} seen={seen} edges={edges} height={headHeight} />
        <div role="rowgroup">
          {Array.from({ length: Math.max(0, endRow - firstRow) }, (_, i) => firstRow + i).map((row) => (
            <TableRow
              key={row}
              {...props}
              {...{ row, seen, edges }}
              id={`${id}-${row}`}
              top={headHeight + row * rowHeight}
              height={rowHeight}
              isActive={row === at}
              onClick={(event) => {
                props.onSelect(row, event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'turn' : 'alone', at);
                active.value = row;
              }}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

interface RowProps extends VirtualTableProps {
  readonly row: number;
  readonly id: string;
  readonly seen: readonly { readonly column: TableColumn; readonly index: number }[];
  readonly edges: readonly number[];
  readonly top: number;
  readonly height: number;
  readonly isActive: boolean;
  readonly onClick: (event: MouseEvent) => void;
}

function TableRow(props: RowProps) {
  const { row, id, seen, edges, top, height, isActive, onClick, rowClass, isSelected, cell } = props;
  return (
    <div
      id={id}
      class={`row ${rowClass(row)} ${isActive ? 'active' : ''}`}
      role="row"
      aria-rowindex={row + 2}
      aria-selected={isSelected(row)}
      style={{ transform: `translateY(${top}px)`, height: `${height}px` }}
      onClick={onClick}
    >
      {seen.map(({ column, index }) => (
        <span
          key={index}
          role="gridcell"
          aria-colindex={index + 1}
          class={column.isNumber ? 'number' : ''}
          style={{ left: `${edges[index]}px`, width: `${(edges[index + 1] ?? 0) - (edges[index] ?? 0)}px` }}
        >
          {cell(row, index)}
        </span>
      ))}
    </div>
  );
}

interface HeadProps extends VirtualTableProps {
  readonly seen: readonly { readonly column: TableColumn; readonly index: number }[];
  readonly edges: readonly number[];
  readonly height: number;
}

function TableHead({ seen, edges, height, order, onOrder }: HeadProps) {
  const ordered = order.value;
  return (
    <div class="head" role="rowgroup" style={{ height: `${height}px` }}>
      <div role="row" aria-rowindex={1}>
        {seen.map(({ column, index }) => {
          const isOrdered = ordered?.column === index;
          const sort = !isOrdered ? 'none' : ordered.isDescending ? 'descending' : 'ascending';
          return (
            <span
              key={index}
              role="columnheader"
              aria-colindex={index + 1}
              aria-sort={sort}
              style={{ left: `${edges[index]}px`, width: `${(edges[index + 1] ?? 0) - (edges[index] ?? 0)}px` }}
            >
              <button
                type="button"
                class={column.isNumber ? 'number' : ''}
                title={`${column.title}: order by it`}
                onClick={() => onOrder(index)}
              >
                <b>
                  {column.title}
                  {isOrdered && (ordered.isDescending ? ' ↓' : ' ↑')}
                </b>
                <small>{column.subtitle}</small>
              </button>
            </span>
          );
        })}
      </div>
    </div>
  );
}

function placeOf(element: HTMLElement): TablePlace {
  const { scrollTop: top, scrollLeft: left, clientWidth: width, clientHeight: height } = element;
  return { top, left, width, height, em: Number.parseFloat(getComputedStyle(element).fontSize) };
}

function watch(element: HTMLElement | null, place: Signal<TablePlace>): (() => void) | undefined {
  if (element === null) return undefined;
  const observer = new ResizeObserver(() => (place.value = placeOf(element)));
  observer.observe(element);
  return () => observer.disconnect();
}

/** Scrolls so that a row is seen whole. */
function reveal(element: HTMLElement | null, row: number, rowHeight: number, headHeight: number): void {
  if (element === null || rowHeight === 0) return;
  const top = row * rowHeight;
  const room = element.clientHeight - headHeight - rowHeight;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top > element.scrollTop + room) element.scrollTop = top - room;
}

function onKey(
  event: KeyboardEvent,
  { rowCount, onSelect, onCopy }: VirtualTableProps,
  active: Signal<number>,
  at: number,
  page: number,
): void {
  const { key, shiftKey, ctrlKey, metaKey, currentTarget } = event;
  const steps: Readonly<Record<string, number>> = {
    ...{ ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page },
    ...{ Home: -rowCount, End: rowCount },
  };
  const step = steps[key];
  if (step !== undefined) {
    const next = Math.max(0, Math.min(rowCount - 1, at + step));
    if (shiftKey) onSelect(next, 'range', at);
    active.value = next;
  } else if (key === ' ' && event.target === currentTarget) onSelect(at, 'turn', at);
  else if ((ctrlKey || metaKey) && key.toLowerCase() === 'c') onCopy();
  else if (key === 'ArrowRight' || key === 'ArrowLeft')
    (currentTarget as HTMLElement).scrollLeft += key === 'ArrowRight' ? 80 : -80;
  else return;
  event.preventDefault();
}

/** How many rows a table shows of how many. */
export function shownWords(shown: number, total: number): string {
  return shown === total ? formatCounted(total, 'row') : `${formatCount(shown)} of ${formatCounted(total, 'row')}`;
}
