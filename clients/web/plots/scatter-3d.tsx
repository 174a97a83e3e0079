import { effect, useComputed, useSignal, type ReadonlySignal } from '@preact/signals';
import type { ComponentChildren, RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { hasObjectives } from '../rows/plot-columns.js';
import { brushDrag, listenForWheel } from './brush.js';
import { listenForDrags, placeIn, type Drag, type DragHandlers, type Place } from './drag.js';
import { HoverCard, type Hovered } from './hover-card.js';
import { Legend } from './legend.js';
import { toggled } from './toggled.js';
import { classMarks, type Mark } from './marks.js';
import type { PlotRows } from './plot-rows.js';
import './plots.css';
import { ScatterTools, type Tool } from './scatter-tools.js';
import type { Selection } from './selection.js';
import { SpacePlot, type Turn } from './space-plot.js';

export interface Scatter3dProps {
  readonly rows: ReadonlySignal<PlotRows>;
  /** Indices of the columns of the axes. */
  readonly axes: readonly [x: number, y: number, z: number];
  readonly selection: Selection;
  readonly card: (row: number) => ComponentChildren;
  readonly children?: ComponentChildren;
}

const START: Turn = { yaw: -0.65, pitch: 0.42, zoom: 1 };
const STEP = 0.09;

/** Three columns against each other, to be turned by drag or arrow keys. */
export function Scatter3d({ rows, axes, selection, card, children }: Scatter3dProps) {
  const tool = useSignal<Tool>('pan');
  const turn = useSignal(START);
  const hidden = useSignal<ReadonlySet<number>>(new Set());
  const hovered = useSignal<Hovered | undefined>(undefined);
  const isRanked = useComputed(() => hasObjectives(rows.value.columns));
  const marks = useComputed(() => classMarks(isRanked.value));
  const canvas = useRef<HTMLCanvasElement>(null);
  usePlot(canvas, { rows, axes, selection }, { marks, hidden }, { tool, turn, hovered });
  const names = axes.map((index) => rows.value.columns.find((column) => column.index === index)?.name).join(', ');
  const said = hovered.value;
  return (
    <div class="scatter">
      <div class="plot-tools">
        {children}
        <ScatterTools
          tool={tool}
          panName="Rotate"
          extent={turn.value === START ? 'all' : 'own'}
          hasFront={false}
          logs={[]}
          onZoom={(factor) => (turn.value = { ...turn.value, zoom: turn.value.zoom / factor })}
          onFit={() => (turn.value = START)}
        />
      </div>
      <div class="scatter-area">
        <canvas
          ref={canvas}
          class="plot-host"
          role="application"
          tabIndex={0}
          aria-label={`${names} in space, ${rows.value.rowCount} rows. Arrow keys turn it, plus and minus zoom, 0 turns it back, Escape clears the selection.`}
          onKeyDown={(event) => onKey(event, turn)}
        />
        {said && said.row < rows.value.rowCount && (
          <HoverCard x={said.x} y={said.y}>
            {card(said.row)}
          </HoverCard>
        )}
      </div>
      <Legend
        marks={marks.value}
        counts={rows.value.counts}
        hidden={hidden.value}
        onToggle={(mark) => (hidden.value = toggled(hidden.peek(), mark))}
      />
    </div>
  );
}

function usePlot(
  canvas: RefObject<HTMLCanvasElement | null>,
  { rows, axes, selection }: Pick<Scatter3dProps, 'rows' | 'axes' | 'selection'>,
  { marks, hidden }: Looks,
  turning: Turning,
): void {
  useEffect(() => {
    if (canvas.current === null) return;
    const { turn } = turning;
    const plot = new SpacePlot(canvas.current);
    const stop = [
      effect(() =>
        plot.show({
          ...{ rows: rows.value, axes, mask: selection.mask.value },
          ...{ marks: marks.value, hidden: hidden.value, turn: turn.value },
        }),
      ),
      listenForDrags(canvas.current, pointerOf(canvas.current, plot, { rows, selection }, turning)),
      listenForWheel(
        canvas.current,
        canvas.current,
        (factor) => (turn.value = { ...turn.value, zoom: turn.value.zoom / factor }),
      ),
    ];
    return () => {
      for (const end of stop) end();
      plot[Symbol.dispose]();
    };
  }, [rows, selection, ...axes]);
}

interface Looks {
  readonly marks: ReadonlySignal<readonly Mark[]>;
  readonly hidden: ReadonlySignal<ReadonlySet<number>>;
}

interface Turning {
  readonly tool: ReadonlySignal<Tool>;
  readonly turn: { value: Turn };
  readonly hovered: { value: Hovered | undefined };
}

function pointerOf(
  element: HTMLElement,
  plot: SpacePlot,
  { rows, selection }: Pick<Scatter3dProps, 'rows' | 'selection'>,
  { tool, turn, hovered }: Turning,
): DragHandlers {
  return {
    hover(event) {
      const row = event && plot.rowAt(placeIn(element, event));
      hovered.value = event && row !== undefined ? { row, x: event.clientX, y: event.clientY } : undefined;
    },
    start: (from, event) =>
      tool.value === 'pan'
        ? turnDrag(turn, from)
        : brushDrag(element.parentElement ?? element, plot, selection, from, event),
    click(event) {
      const row = plot.rowAt(placeIn(element, event));
      if (row === undefined) selection.clear();
      else selection.pick(row, rows.peek().rowCount, event.shiftKey);
    },
  };
}

function turned({ yaw, pitch, zoom }: Turn, right: number, up: number): Turn {
  return { yaw: yaw + right, pitch: Math.max(-Math.PI / 2, Math.min(Math.PI / 2, pitch + up)), zoom };
}

function turnDrag(turn: { value: Turn }, from: Place): Drag {
  const before = turn.value;
  return { move: (to) => (turn.value = turned(before, (to.x - from.x) / 160, (to.y - from.y) / 160)) };
}

const TURNS: Readonly<Record<string, readonly [right: number, up: number]>> = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};

function onKey(event: KeyboardEvent, turn: { value: Turn }): void {
  const step = TURNS[event.key];
  if (step !== undefined) turn.value = turned(turn.value, ...step);
  else if (event.key === '+') turn.value = { ...turn.value, zoom: turn.value.zoom * 1.2 };
  else if (event.key === '-') turn.value = { ...turn.value, zoom: turn.value.zoom / 1.2 };
  else if (event.key === '0') turn.value = START;
  else return;
  event.preventDefault();
}
