import { effect, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { formatNumber } from '../parts/format.js';
import { colours, withAlpha } from './colours.js';
import { canvasFont, textPixels } from './painter.js';
import './plots.css';

/** A line. */
export interface Line {
  readonly name: string;
  /** A colour, read anew when the scheme changes. */
  readonly colour: () => string;
  /** One a place on the x axis; NaN: none. */
  readonly values: Float64Array;
  readonly isDashed?: boolean;
  /** In CSS pixels; 0 for the edge of a band. */
  readonly width?: number;
  /** Fills the space to the line that follows. */
  readonly isBand?: boolean;
}

export interface LinePlotProps {
  readonly title: string;
  readonly xTitle: string;
  readonly x: Float64Array;
  readonly lines: readonly Line[];
  readonly isLog: boolean;
  /** Plots with the same name have their cursors in one place. */
  readonly together: string;
  /** Below others with the same x axis, which is named once. */
  readonly isXNamed: boolean;
}

/** Between the numbers of evaluations and generations, which are whole. */
const WHOLE_STEPS = Array.from({ length: 10 }, (_, i) => 10 ** i).flatMap((ten) => [ten, 2 * ten, 5 * ten]);

/** Lines over one axis, by uPlot; what the lines are worth where the pointer is stands in the head. */
export function LinePlot(props: LinePlotProps) {
  const { title, xTitle, x, lines, isLog, isXNamed } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const cursor = useSignal<number | undefined>(undefined);
  const canLog = isLog && lines.some(({ values }) => values.some((value) => value > 0));
  const shape = [canLog, ...lines.map(({ name }) => name)].join('\n');
  useEffect(() => {
    if (host.current === null) return;
    const made = new uPlot(options(props, host.current, canLog, cursor), dataOf(x, lines, canLog), host.current);
    plot.current = made;
    const stop = effect(() => {
      void colours.value;
      made.redraw(false, true);
    });
    const observer = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = made.root.parentElement ?? made.root;
      if (width > 0 && height > 0) made.setSize({ width, height });
    });
    observer.observe(host.current);
    return () => {
      stop();
      observer.disconnect();
      made.destroy();
    };
  }, [shape, title, xTitle, isXNamed]);
  useEffect(() => plot.current?.setData(dataOf(x, lines, canLog)), [x, lines]);
  const at = cursor.value ?? lastKnown(lines);
  return (
    <figure class="line-plot">
      <figcaption>
        <b>{title}</b>
        <span class="readout number">
          {lines.map(({ name, values, colour, width }) =>
            width === 0 ? null : (
              <span key={name}>
                <i style={{ background: colour() }} />
                {name} {formatNumber(lastUpTo(values, at))}
              </span>
            ),
          )}
          <span class="muted">
            {xTitle} {formatNumber(x[at] ?? NaN, 9)}
          </span>
        </span>
      </figcaption>
      <div ref={host} class="line-host" role="img" aria-label={describe(props)} />
    </figure>
  );
}

/** The value at a place; where there is none, that before it. */
function lastUpTo(values: Float64Array, at: number): number {
  return values.subarray(0, at + 1).findLast((value) => !Number.isNaN(value)) ?? NaN;
}

/** The last place where some line has a value. */
function lastKnown(lines: readonly Line[]): number {
  return Math.max(0, ...lines.map(({ values }) => values.findLastIndex((value) => Number.isFinite(value))));
}

function describe({ title, xTitle, x, lines }: LinePlotProps): string {
  const ends = lines
    .filter(({ width }) => width !== 0)
    .map(({ name, values }) => {
      const known = values.filter(Number.isFinite);
      return `${name} goes from ${formatNumber(known[0] ?? NaN)} to ${formatNumber(known.at(-1) ?? NaN)}`;
    });
  return `${title} by ${xTitle}, ${x.length} steps: ${ends.join('; ')}.`;
}

function dataOf(x: Float64Array, lines: readonly Line[], isLog: boolean): uPlot.AlignedData {
  const known = (value: number) => (Number.isFinite(value) && (!isLog || value > 0) ? value : null);
  return [Array.from(x), ...lines.map(({ values }) => Array.from(values, known))];
}

function options(
  { xTitle, lines, together, isXNamed }: LinePlotProps,
  host: HTMLElement,
  isLog: boolean,
  cursor: { value: number | undefined },
): uPlot.Options {
  const text = textPixels();
  const axis = {
    stroke: () => colours.peek().muted,
    font: canvasFont(text * 0.95),
    labelFont: canvasFont(text, 550),
    ticks: { show: false },
    gap: text * 0.35,
    grid: { stroke: () => withAlpha(colours.peek()['line-strong'], 0.22), width: 1 },
    values: (_plot: uPlot, splits: number[]) => splits.map((value) => (value === null ? '' : formatNumber(value, 6))),
  };
  const width = (values: readonly string[] | null) =>
    text * (Math.max(2, ...(values ?? []).map((value) => value.length)) * 0.56 + 0.9);
  return {
    width: Math.max(host.clientWidth, 50),
    height: Math.max(host.clientHeight, 50),
    // At the right for half of the last number.
    padding: [text * 0.7, text * 1.7, 0, 0],
    legend: { show: false },
    cursor: { y: false, sync: { key: together }, drag: { x: false, y: false }, points: { size: text * 0.55 } },
    scales: { x: { time: false }, y: { distr: isLog ? 3 : 1 } },
    axes: [
      { ...axis, incrs: WHOLE_STEPS, size: text * 1.9, ...(isXNamed && { label: xTitle, labelSize: text * 1.6 }) },
      { ...axis, size: (_plot: uPlot, values: string[] | null) => width(values) },
    ] as uPlot.Axis[],
    series: [{}, ...lines.map(seriesOf)],
    bands: lines.flatMap(({ isBand, colour }, i) =>
      isBand === true ? [{ series: [i + 2, i + 1] as [number, number], fill: () => withAlpha(colour(), 0.16) }] : [],
    ),
    hooks: { setCursor: [({ cursor: { idx } }) => (cursor.value = idx ?? undefined)] },
  };
}

function seriesOf({ colour, isDashed = false, width = 1.75 }: Line): uPlot.Series {
  return {
    stroke: colour,
    width,
    spanGaps: true,
    // A line of one point is not seen.
    points: { show: (plot: uPlot) => width > 0 && plot.data[0].length === 1, size: 6 },
    ...(isDashed && { dash: [5, 4] }),
  };
}
