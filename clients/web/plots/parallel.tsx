import { effect, useComputed, useSignal, type ReadonlySignal, type Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { RowClass } from '../../../server/rows/front/row-classes.js';
import { formatCount } from '../parts/format.js';
import { titleOf, type PlotColumn } from '../rows/plot-columns.js';
import { listenForDrags, placeIn, type Drag, type DragHandlers, type Place } from './drag.js';
import { ParallelPlot, type ParallelAxis } from './parallel-plot.js';
import type { PlotRows } from './plot-rows.js';
import './plots.css';
import type { AxisRange } from './scale.js';
import type { Selection } from './selection.js';
import { toggled } from './toggled.js';

export interface ParallelProps {
  readonly rows: ReadonlySignal<PlotRows>;
  /** Indices of the columns that have an axis, from left to right. */
  readonly axes: Signal<readonly number[]>;
  readonly selection: Selection;
}

/** How near to an axis a press means it, in CSS pixels. */
const AXIS_REACH = 22;

/** A line a row over an axis a column. A drag on an axis selects by its values, and several axes together. */
export function Parallel({ rows, axes, selection }: ParallelProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const turned = useSignal<ReadonlySet<number>>(new Set());
  // The brushes are kept as long as the selection is theirs.
  const maker = useRef({}).current;
  const brushes = useSignal<ReadonlyMap<number, AxisRange>>(new Map());
  const shown = useComputed(() => axesShown(rows.value, axes.value, turned.value, brushes.value));
  const plot = useRef<ParallelPlot | undefined>(undefined);
  const brush = (next: ReadonlyMap<number, AxisRange>) => {
    brushes.value = next;
    if (next.size === 0) selection.clear(maker);
    else selection.change(rowsOfBrushes(rows.peek(), next), 'replace', maker);
  };
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return;
    const made = new ParallelPlot(element);
    plot.current = made;
    const stop = [
      effect(() => made.show({ rows: rows.value, axes: shown.value, mask: selection.mask.value })),
      effect(() => {
        if (selection.maker.value !== maker && brushes.peek().size > 0) brushes.value = new Map();
      }),
      listenForDrags(element, pointerOf(element, made, shown, brushes, brush)),
    ];
    return () => {
      for (const end of stop) end();
      made[Symbol.dispose]();
    };
  }, [rows, selection]);
  const count = shown.value.length;
  return (
    <div class="parallel" role="group" aria-label="Parallel coordinates">
      <LineKey selected={selection.count.value} counts={rows.value.counts} />
      <div class="parallel-wide" style={{ minWidth: `${count * 5}rem` }}>
        <div class="parallel-heads">
          {shown.value.map((axis, place) => (
            <AxisHead
              key={axis.column.index}
              axis={axis}
              place={place}
              count={count}
              onMove={(step) => (axes.value = moved(axes.peek(), axis.column.index, step))}
              onTurn={() => (turned.value = toggled(turned.peek(), axis.column.index))}
              onBrush={(change) => {
                const range = plot.current?.rangeOf(axis.column);
                if (range !== undefined) brush(changedBrush(brushes.peek(), axis.column.index, range, change));
              }}
            />
          ))}
        </div>
        <canvas
          ref={canvas}
          class="parallel-canvas"
          role="img"
          aria-label={`A line for each of ${rows.value.rowCount} rows over ${count} axes; the axes' names above it take the keyboard.`}
        />
      </div>
    </div>
  );
}

/** What the colours of the lines mean: the front is told apart as long as nothing is selected. */
function LineKey({ selected, counts }: { readonly selected: number; readonly counts: readonly number[] }) {
  const front = counts[RowClass.FRONT] ?? 0;
  if (selected === 0 && front === 0) return null;
  return (
    <p class="line-key number">
      {selected > 0 ? (
        <span class="selected">selected {formatCount(selected)}</span>
      ) : (
        <span class="front">front {formatCount(front)}</span>
      )}
      <span>other rows</span>
    </p>
  );
}

function pointerOf(
  element: HTMLElement,
  plot: ParallelPlot,
  shown: ReadonlySignal<readonly ParallelAxis[]>,
  brushes: ReadonlySignal<ReadonlyMap<number, AxisRange>>,
  brush: (brushes: ReadonlyMap<number, AxisRange>) => void,
): DragHandlers {
  return {
    hover(event) {
      const at = event && placeIn(element, event);
      element.style.cursor = at && plot.axisAt(at.x, AXIS_REACH) !== undefined ? 'ns-resize' : '';
    },
    start: (from) => brushDrag(plot, shown.peek(), brushes.peek(), from, brush),
    click(event) {
      const place = plot.axisAt(placeIn(element, event).x, AXIS_REACH);
      const index = place === undefined ? undefined : shown.peek()[place]?.column.index;
      if (index !== undefined) brush(without(brushes.peek(), index));
    },
  };
}

function axesShown(
  { columns }: PlotRows,
  axes: readonly number[],
  turned: ReadonlySet<number>,
  brushes: ReadonlyMap<number, AxisRange>,
): ParallelAxis[] {
  return axes.flatMap((index) => {
    const column = columns.find((one) => one.index === index);
    return column ? [{ column, isTurned: turned.has(index), brush: brushes.get(index) }] : [];
  });
}

/** The rows that lie within every brush. */
function rowsOfBrushes({ columns, rowCount }: PlotRows, brushes: ReadonlyMap<number, AxisRange>): Uint8Array {
  const mask = new Uint8Array(rowCount).fill(1);
  for (const [index, { min, max }] of brushes) {
    const values = columns.find((column) => column.index === index)?.values;
    if (values === undefined) continue;
    for (let row = 0; row < rowCount; row++) {
      const value = values[row] as number;
      if (!(value >= min && value <= max)) mask[row] = 0;
    }
  }
  return mask;
}

/** A drag on a brush moves it, anywhere else on an axis it makes a new one. */
function brushDrag(
  plot: ParallelPlot,
  axes: readonly ParallelAxis[],
  before: ReadonlyMap<number, AxisRange>,
  from: Place,
  brush: (brushes: ReadonlyMap<number, AxisRange>) => void,
): Drag | undefined {
  const place = plot.axisAt(from.x, AXIS_REACH);
  const axis = place === undefined ? undefined : axes[place];
  if (place === undefined || axis === undefined) return undefined;
  const { index } = axis.column;
  const start = plot.valueAt(place, from.y);
  const old = before.get(index);
  const isMove = old !== undefined && start >= old.min && start <= old.max;
  return {
    move(to) {
      const value = plot.valueAt(place, to.y);
      const range = isMove
        ? within({ min: old.min + value - start, max: old.max + value - start }, plot.rangeOf(axis.column))
        : { min: Math.min(start, value), max: Math.max(start, value) };
      brush(new Map(before).set(index, range));
    },
  };
}

/** Moved so that it does not leave the axis. */
function within({ min, max }: AxisRange, axis: AxisRange): AxisRange {
  const beyond = Math.max(0, axis.min - min) - Math.max(0, max - axis.max);
  return { min: min + beyond, max: max + beyond };
}

type BrushChange = 'toggle' | { readonly move: number; readonly grow: number };

/** By the keyboard: steps are parts of the axis. */
function changedBrush(
  brushes: ReadonlyMap<number, AxisRange>,
  index: number,
  axis: AxisRange,
  change: BrushChange,
): ReadonlyMap<number, AxisRange> {
  const size = axis.max - axis.min;
  const old = brushes.get(index);
  if (change === 'toggle') {
    if (old !== undefined) return without(brushes, index);
    return new Map(brushes).set(index, { min: axis.min + size / 4, max: axis.max - size / 4 });
  }
  if (old === undefined) return brushes;
  const { move, grow } = change;
  const grown = { min: old.min + (move - grow) * size, max: old.max + (move + grow) * size };
  return new Map(brushes).set(index, within(grown.max < grown.min ? old : grown, axis));
}

function AxisHead(props: {
  readonly axis: ParallelAxis;
  readonly place: number;
  readonly count: number;
  readonly onMove: (step: -1 | 1) => void;
  readonly onTurn: () => void;
  readonly onBrush: (change: BrushChange) => void;
}) {
  const { axis, place, count, onMove, onTurn, onBrush } = props;
  const title = titleOf(axis.column);
  const onKey = (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const { key, shiftKey, currentTarget } = event;
    const step = key === 'ArrowUp' ? 0.02 : -0.02;
    if (key === 'ArrowLeft' || key === 'ArrowRight') {
      onMove(key === 'ArrowLeft' ? -1 : 1);
      // The head keeps the focus where it goes.
      requestAnimationFrame(() => currentTarget.focus());
    } else if (key === 'f' || key === 'F') onTurn();
    else if (key === 'b' || key === 'B') onBrush('toggle');
    else if (key === 'ArrowUp' || key === 'ArrowDown')
      onBrush(shiftKey ? { move: 0, grow: step } : { move: axis.isTurned ? -step : step, grow: 0 });
    else return;
    event.preventDefault();
  };
  return (
    <button
      type="button"
      class={`axis-head ${axis.brush ? 'brushed' : ''}`}
      style={{ left: headLeft(place, count), width: headWidth(place, count) }}
      title={`${title}: click turns it over; left and right arrow keys move it, B brushes, up and down move the brush, with Shift they grow it`}
      onClick={onTurn}
      onKeyDown={onKey}
    >
      <span>{axis.column.name}</span>
      <small>
        {axis.column.unit} {axis.isTurned && '⇅'}
      </small>
      <span class="unseen">
        , axis {place + 1} of {count}
        {axis.isTurned && ', turned over'}
        {axis.brush && `, brushed from ${axis.brush.min} to ${axis.brush.max}`}
      </span>
    </button>
  );
}

/** As `axisX` of the plot has it: its margin is four times the size of small text. */
const MARGIN = 'min(4 * var(--size-small), 100% / 6)';

function headLeft(place: number, count: number): string {
  return count < 2 ? '50%' : `calc(${MARGIN} + ${place / (count - 1)} * (100% - 2 * ${MARGIN}))`;
}

/** The first and the last do not stick out of the plot. */
function headWidth(place: number, count: number): string {
  const width = `${90 / Math.max(count - 1, 1)}%`;
  const isAtEdge = count > 1 && (place === 0 || place === count - 1);
  return isAtEdge ? `min(${width}, 2 * ${MARGIN})` : width;
}

function moved(axes: readonly number[], index: number, step: -1 | 1): readonly number[] {
  const from = axes.indexOf(index);
  const to = from + step;
  if (from < 0 || to < 0 || to >= axes.length) return axes;
  return axes.toSpliced(from, 1).toSpliced(to, 0, index);
}

function without(brushes: ReadonlyMap<number, AxisRange>, index: number): ReadonlyMap<number, AxisRange> {
  const next = new Map(brushes);
  next.delete(index);
  return next;
}

const FEW = 50;
const MOST_TELLING = [
  VariableRole.OBJECTIVE,
  VariableRole.DESIGN_VARIABLE,
  VariableRole.INEQUALITY_CONSTRAINT,
  VariableRole.EQUALITY_CONSTRAINT,
  VariableRole.OBSERVABLE,
];
/** When a row came, what was chosen, and what came of it. */
const LEFT_TO_RIGHT = [
  VariableRole.OBSERVABLE,
  VariableRole.DESIGN_VARIABLE,
  VariableRole.INEQUALITY_CONSTRAINT,
  VariableRole.EQUALITY_CONSTRAINT,
  VariableRole.OBJECTIVE,
];

/** Columns that have an axis at first: those that are most telling, and as many as can be read. */
export function firstAxes(columns: readonly PlotColumn[], most: number): readonly number[] {
  // What does not vary tells nothing; of a run that has only begun that is not known.
  const varied = columns.filter(
    ({ values, labels }) => labels !== undefined || values.length < FEW || values.some((value) => value !== values[0]),
  );
  const by = (order: readonly VariableRole[]) => (a: PlotColumn, b: PlotColumn) =>
    order.indexOf(a.role) - order.indexOf(b.role);
  const chosen = varied.toSorted(by(MOST_TELLING)).slice(0, most);
  return chosen.toSorted(by(LEFT_TO_RIGHT)).map(({ index }) => index);
}
