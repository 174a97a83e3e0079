import { effect, useComputed, useSignal, type ReadonlySignal, type Signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import 'uplot/dist/uPlot.min.css';
import { RowClass } from '../../../server/rows/front/row-classes.js';
import { directionOf, hasObjectives, titleOf, type PlotColumn } from '../rows/plot-columns.js';
import { formatCounted } from '../parts/format.js';
import { brushDrag, listenForWheel } from './brush.js';
import { listenForDrags, placeIn, type Drag, type Place } from './drag.js';
import { HoverCard, type Hovered } from './hover-card.js';
import { Legend } from './legend.js';
import { classMarks, type Mark } from './marks.js';
import type { PlotRows } from './plot-rows.js';
import './plots.css';
import { ScatterPlot, type Extent, type ScatterAxis, type ScatterContent } from './scatter-plot.js';
import { ScatterTools, type Tool } from './scatter-tools.js';
import type { Selection } from './selection.js';
import { toggled } from './toggled.js';

export interface ScatterProps {
  readonly rows: ReadonlySignal<PlotRows>;
  /** Indices of the columns of the axes. */
  readonly x: number;
  readonly y: number;
  readonly selection: Selection;
  /** What the classes of the rows look like, where they are not of RowClass: there is no front then. */
  readonly marks?: ReadonlySignal<readonly Mark[]>;
  /** Marks whose rows are not shown, where others hide them as well; by default the legend's own. */
  readonly hidden?: Signal<ReadonlySet<number>>;
  /** What is shown of a row that is pointed at. */
  readonly card: (row: number) => ComponentChildren;
  /** At the left of the tools: the choice of the axes. */
  readonly children?: ComponentChildren;
}

/** Any two columns against each other: brush to select, wheel or buttons to zoom, arrow keys to go along the front. */
export function Scatter(props: ScatterProps) {
  const { rows, x, y, selection, marks, card, children } = props;
  const tool = useSignal<Tool>('select');
  const logX = useSignal(false);
  const logY = useSignal(false);
  const ownHidden = useSignal<ReadonlySet<number>>(new Set());
  const hidden = props.hidden ?? ownHidden;
  const isRanked = useComputed(() => hasObjectives(rows.value.columns));
  const ownMarks = useComputed(() => classMarks(isRanked.value));
  const shownMarks = marks ?? ownMarks;
  const plot = useRef<ScatterPlot | undefined>(undefined);
  const view = useSignal<{ extent: Extent; outside: number }>({ extent: 'all', outside: 0 });
  const { columns, counts } = rows.value;
  const [columnX, columnY] = [columns.find(({ index }) => index === x), columns.find(({ index }) => index === y)];
  if (columnX === undefined || columnY === undefined) return null;
  const toggle = (mark: number) => (hidden.value = toggled(hidden.peek(), mark));
  return (
    <div class="scatter">
      <div class="plot-tools">
        {children}
        <ScatterTools
          tool={tool}
          extent={view.value.extent}
          hasFront={marks === undefined && (counts[RowClass.FRONT] ?? 0) > 1}
          logs={[logOf('x', columnX, logX), logOf('y', columnY, logY)]}
          onZoom={(factor) => plot.current?.zoom(factor)}
          onFit={(extent) => plot.current?.fit(extent)}
        />
      </div>
      <ScatterArea
        // uPlot is told once how an axis is scaled.
        key={[logX.value, logY.value, columnX.labels === undefined, columnY.labels === undefined].join()}
        {...{ rows, x, y, selection, card, tool, plot, view, hidden }}
        hasFront={marks === undefined}
        marks={shownMarks}
        isLogX={logX.value && canBeLog(columnX)}
        isLogY={logY.value && canBeLog(columnY)}
      />
      <div class="plot-foot">
        <Legend marks={shownMarks.value} counts={counts} hidden={hidden.value} onToggle={toggle} />
        <span class="muted number">
          {view.value.outside > 0 && `${formatCounted(view.value.outside, 'row')} outside · `}
          {betterOf(columnX, columnY)}
        </span>
      </div>
    </div>
  );
}

function canBeLog({ labels, values }: PlotColumn): boolean {
  return labels === undefined && values.some((value) => value > 0);
}

function logOf(name: string, column: PlotColumn, isOn: { value: boolean }) {
  return { name, isPossible: canBeLog(column), isOn: isOn.value, toggle: () => (isOn.value = !isOn.value) };
}

interface AreaProps extends Omit<ScatterProps, 'children' | 'marks' | 'hidden'> {
  readonly marks: ReadonlySignal<readonly Mark[]>;
  readonly hidden: ReadonlySignal<ReadonlySet<number>>;
  readonly tool: ReadonlySignal<Tool>;
  readonly hasFront: boolean;
  readonly isLogX: boolean;
  readonly isLogY: boolean;
  readonly plot: { current: ScatterPlot | undefined };
  readonly view: Signal<{ extent: Extent; outside: number }>;
}

function ScatterArea(props: AreaProps) {
  const { rows, x, y, selection, card } = props;
  const host = useRef<HTMLDivElement>(null);
  const hovered = useSignal<Hovered | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const place = host.current;
    if (place === null) return;
    const plot = new ScatterPlot(place, contentOf(latest.current), (extent, outside) => {
      const before = props.view.peek();
      if (before.extent !== extent || before.outside !== outside) props.view.value = { extent, outside };
    });
    props.plot.current = plot;
    const stop = [
      listenForDrags(plot.area, pointerOf(plot, latest, hovered)),
      listenForWheel(plot.area, place, (factor, event) => plot.zoom(factor, placeIn(plot.area, event))),
      effect(() => plot.show(contentOf(latest.current))),
    ];
    return () => {
      for (const end of stop) end();
      plot[Symbol.dispose]();
      props.plot.current = undefined;
    };
  }, []);
  useEffect(() => props.plot.current?.show(contentOf(latest.current)), [x, y]);
  const said = hovered.value;
  return (
    <div class="scatter-area">
      <div
        ref={host}
        class="plot-host"
        role="application"
        tabIndex={0}
        aria-label={labelOf(props)}
        onKeyDown={(event) => onKey(event, props, hovered)}
        onBlur={() => (hovered.value = undefined)}
      />
      {said && said.row < rows.value.rowCount && (
        <HoverCard x={said.x} y={said.y}>
          {card(said.row)}
        </HoverCard>
      )}
      <span class="unseen" aria-live="polite">
        {selection.count.value > 0 ? `Selected: ${formatCounted(selection.count.value, 'row')}` : ''}
      </span>
    </div>
  );
}

function axisOf(column: PlotColumn, isLog: boolean): ScatterAxis {
  const { ideal, nadir } = column.variable;
  const guides = [ideal, nadir].filter((value) => value !== undefined);
  const isLargerBetter = directionOf(column) === -1;
  return { title: titleOf(column), values: column.values, labels: column.labels, isLog, isLargerBetter, guides };
}

function contentOf({ rows, x, y, selection, marks, hidden, hasFront, isLogX, isLogY }: AreaProps): ScatterContent {
  const { columns, rowCount, classes, counts } = rows.value;
  const column = (index: number) => (columns.find((one) => one.index === index) ?? columns[0]) as PlotColumn;
  return {
    x: axisOf(column(x), isLogX),
    y: axisOf(column(y), isLogY),
    rowCount,
    classes,
    hasFront,
    counts,
    mask: selection.mask.value,
    marks: marks.value,
    hidden: hidden.value,
  };
}

function labelOf({ rows, x, y }: AreaProps): string {
  const name = (index: number) => rows.value.columns.find((one) => one.index === index)?.name ?? '';
  return `${name(y)} against ${name(x)}, ${rows.value.rowCount} rows. Left and right arrow keys go along the front, Enter selects, plus and minus zoom, Shift with arrow keys moves, 0 shows all, Escape clears the selection.`;
}

const ARROWS = { '1,1': '↙', '1,-1': '↖', '-1,1': '↘', '-1,-1': '↗', '1,0': '←', '-1,0': '→', '0,1': '↓', '0,-1': '↑' };

/** Which way both axes improve. */
function betterOf(x: PlotColumn, y: PlotColumn): string {
  const arrow = ARROWS[`${directionOf(x)},${directionOf(y)}` as keyof typeof ARROWS] as string | undefined;
  return arrow === undefined ? '' : `better ${arrow}`;
}

function pointerOf(plot: ScatterPlot, latest: { current: AreaProps }, hovered: { value: Hovered | undefined }) {
  return {
    hover(event: PointerEvent | undefined) {
      const row = event && plot.rowAt(placeIn(plot.area, event));
      hovered.value = event && row !== undefined ? { row, x: event.clientX, y: event.clientY } : undefined;
    },
    start(from: Place, event: PointerEvent): Drag {
      const { tool, selection } = latest.current;
      return tool.value === 'pan' ? panDrag(plot, from) : brushDrag(plot.area, plot, selection, from, event);
    },
    click(event: PointerEvent) {
      const { selection, rows } = latest.current;
      const row = plot.rowAt(placeIn(plot.area, event));
      if (row === undefined) selection.clear();
      else selection.pick(row, rows.value.rowCount, event.shiftKey);
    },
  };
}

function panDrag(plot: ScatterPlot, from: Place): Drag {
  const { clientWidth, clientHeight } = plot.area;
  const before = plot.shown;
  return {
    move: (to) => plot.pan((from.x - to.x) / clientWidth, (to.y - from.y) / clientHeight, before),
  };
}

const PANS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-0.1, 0],
  ArrowRight: [0.1, 0],
  ArrowUp: [0, 0.1],
  ArrowDown: [0, -0.1],
};

function onKey(event: KeyboardEvent, props: AreaProps, hovered: { value: Hovered | undefined }): void {
  const plot = props.plot.current;
  if (plot === undefined) return;
  const pan = PANS[event.key];
  if (pan !== undefined && event.shiftKey) plot.pan(...pan);
  else if (pan !== undefined)
    walk(plot, props, hovered, event.key === 'ArrowLeft' || event.key === 'ArrowDown' ? -1 : 1);
  else if (event.key === '+') plot.zoom(0.8);
  else if (event.key === '-') plot.zoom(1.25);
  else if (event.key === '0') plot.fit('all');
  else if (event.key === 'Enter' && hovered.value !== undefined)
    props.selection.pick(hovered.value.row, props.rows.value.rowCount, event.shiftKey);
  else return;
  event.preventDefault();
}

/** Goes to the next row of the front, in the order of x; of all rows where there is no front. */
function walk(
  plot: ScatterPlot,
  { rows, x, hasFront, hidden }: AreaProps,
  hovered: { value: Hovered | undefined },
  step: 1 | -1,
): void {
  const { classes, columns } = rows.value;
  const values = columns.find(({ index }) => index === x)?.values ?? new Float64Array(0);
  const isFront = (row: number) => hasFront && classes[row] === RowClass.FRONT;
  const all = Array.from(classes.keys()).filter((row) => !hidden.value.has(classes[row] ?? 0));
  const front = all.filter(isFront);
  const way = (front.length > 0 ? front : all)
    .filter((row) => plot.placeOf(row) !== undefined)
    .sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const at = hovered.value === undefined ? (step === 1 ? -1 : 0) : way.indexOf(hovered.value.row);
  const row = way[(at + step + way.length) % way.length];
  const place = row === undefined ? undefined : plot.placeOf(row);
  if (row === undefined || place === undefined) return;
  const { left, top } = plot.area.getBoundingClientRect();
  hovered.value = { row, x: left + place.x, y: top + place.y };
}
