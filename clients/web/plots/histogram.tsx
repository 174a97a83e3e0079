import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { endsOf, type Histogram } from '../analysis/distribution.js';
import { formatCount, formatNumber } from '../parts/format.js';
import { titleOf, type PlotColumn } from '../rows/plot-columns.js';
import { listenForDrags, placeIn } from './drag.js';
import './plots.css';
import { changeOf, type Change } from './selection.js';

export interface HistogramProps {
  readonly column: PlotColumn;
  readonly histogram: Histogram;
  /** Rows whose values are from one to the other. */
  readonly onSelect: (from: number, to: number, how: Change) => void;
}

const HEIGHT = 100;

/** How often values come: bars of all rows, and in front of them those of the selected. */
export function HistogramPlot({ column, histogram, onSelect }: HistogramProps) {
  const { counts, selected, leftOut } = histogram;
  const most = Math.max(1, ...counts);
  const picture = useRef<SVGSVGElement>(null);
  const hovered = useSignal<number | undefined>(undefined);
  const latest = useRef({ histogram, onSelect });
  latest.current = { histogram, onSelect };
  useEffect(() => {
    const element = picture.current?.parentElement;
    if (!element) return;
    const binAt = (x: number) => {
      const bins = latest.current.histogram.counts.length;
      return Math.max(0, Math.min(bins - 1, Math.floor((x / element.clientWidth) * bins)));
    };
    const select = (a: number, b: number, how: Change) => {
      const [low, high] = [
        edge(latest.current.histogram, Math.min(a, b)),
        edge(latest.current.histogram, Math.max(a, b) + 1),
      ];
      latest.current.onSelect(low, high, how);
    };
    return listenForDrags(element, {
      hover: (event) => (hovered.value = event && binAt(placeIn(element, event).x)),
      start: (start, event) => ({ move: (end) => select(binAt(start.x), binAt(end.x), changeOf(event)) }),
      click: (event) => select(binAt(placeIn(element, event).x), binAt(placeIn(element, event).x), changeOf(event)),
    });
  }, []);
  const bin = hovered.value;
  return (
    <figure class="histogram">
      <figcaption>
        <b title={column.variable.description}>{titleOf(column)}</b>
        <span class="muted number">{bin === undefined ? summary(leftOut) : binWords(column, histogram, bin)}</span>
      </figcaption>
      <div class="bars">
        <svg
          ref={picture}
          viewBox={`0 0 ${counts.length} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${column.name}: ${formatCount(counts.reduce((sum, count) => sum + count, 0))} values from ${endWords(column, histogram, 'from')} to ${endWords(column, histogram, 'to')}, most often in ${binWords(column, histogram, counts.indexOf(most))}`}
        >
          <path class="all" d={bars(counts, most)} />
          {selected && <path class="selected" d={bars(selected, most)} />}
          {boundsOf(column, histogram).map((x) => (
            <path key={x} class="bound" d={`M${x} 0V${HEIGHT}`} />
          ))}
        </svg>
      </div>
      <div class="ends muted number">
        <span>{endWords(column, histogram, 'from')}</span>
        <span>{endWords(column, histogram, 'to')}</span>
      </div>
    </figure>
  );
}

function bars(counts: Uint32Array, most: number): string {
  const gap = counts.length > 30 ? 0.06 : 0.04;
  return Array.from(counts, (count, i) => {
    // One row among many is seen all the same.
    const height = count === 0 ? 0 : Math.max(1.2, (count / most) * HEIGHT);
    return count === 0 ? '' : `M${i + gap} ${HEIGHT}V${HEIGHT - height}H${i + 1 - gap}V${HEIGHT}Z`;
  }).join('');
}

function edge({ from, to, counts }: Histogram, bin: number): number {
  return bin === counts.length ? to : from + ((to - from) * bin) / counts.length;
}

function boundsOf({ variable }: PlotColumn, { from, to, counts }: Histogram): number[] {
  return [variable.lowerBound, variable.upperBound]
    .filter((bound) => bound !== undefined && bound >= from && bound <= to)
    .map((bound) => (((bound ?? 0) - from) / (to - from)) * counts.length);
}

function summary(leftOut: number): string {
  return leftOut === 0 ? '' : `${formatCount(leftOut)} missing or not finite`;
}

function binWords({ labels }: PlotColumn, histogram: Histogram, bin: number): string {
  const { counts, selected, isWhole } = histogram;
  const { from, to } = endsOf({ from: edge(histogram, bin), to: edge(histogram, bin + 1), isWhole });
  const name = (value: number) => labelOf(labels, value) ?? (isWhole ? String(value) : formatNumber(value, 4));
  const range = from === to ? name(from) : `${name(from)} to ${name(to)}`;
  const chosen = selected === undefined ? '' : `, ${formatCount(selected[bin] ?? 0)} selected`;
  return `${range}: ${formatCount(counts[bin] ?? 0)}${chosen}`;
}

/** An end of the axis. */
function endWords({ labels }: PlotColumn, histogram: Histogram, end: 'from' | 'to'): string {
  const value = endsOf(histogram)[end];
  return labelOf(labels, value) ?? formatNumber(value, 4);
}

function labelOf(labels: readonly string[] | undefined, value: number): string | undefined {
  // The last bin may reach beyond the last category.
  return labels?.[Math.min(value, labels.length - 1)];
}
