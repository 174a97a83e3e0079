import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { Correlation } from '../analysis/correlation.js';
import type { PlotColumn } from '../rows/plot-columns.js';
import { colours, withAlpha } from './colours.js';
import './plots.css';

export interface CorrelationProps {
  readonly columns: readonly PlotColumn[];
  readonly correlation: Correlation;
  readonly onOpen: (x: PlotColumn, y: PlotColumn) => void;
}

/** Numbers in the cells need so much room. */
const NUMBERS_MAX = 20;

/** A cell a pair: Pearson's coefficient below the diagonal, Spearman's above it. Arrow keys go through the cells, Enter opens. */
export function CorrelationPlot({ columns, correlation, onOpen }: CorrelationProps) {
  const at = useSignal<readonly [number, number]>([0, 1]);
  const grid = useRef<HTMLTableElement>(null);
  const count = columns.length;
  const onKey = (event: KeyboardEvent) => {
    const steps: Readonly<Record<string, readonly [number, number]>> = {
      ...{ ArrowUp: [-1, 0], ArrowDown: [1, 0] },
      ...{ ArrowLeft: [0, -1], ArrowRight: [0, 1] },
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const [row, column] = at.peek();
    at.value = [clamp(row + step[0], count), clamp(column + step[1], count)];
    grid.current?.querySelector<HTMLElement>(`[data-cell='${at.value.join()}']`)?.focus();
  };
  return (
    <div class="correlation-scroll" tabIndex={0} role="region" aria-label="Correlation matrix">
      <table ref={grid} class="correlation" onKeyDown={onKey}>
        <thead>
          <tr>
            <td />
            {columns.map(({ index, name }) => (
              <th key={index} scope="col" title={name}>
                <span>{name}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {columns.map((rowColumn, row) => (
            <tr key={rowColumn.index}>
              <th scope="row" title={rowColumn.name}>
                {rowColumn.name}
              </th>
              {columns.map((column, place) => (
                <Cell
                  key={column.index}
                  {...{ row, place, rowColumn, column, correlation, count, onOpen }}
                  isReached={at.value[0] === row && at.value[1] === place}
                  onFocus={() => (at.value = [row, place])}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell(props: {
  readonly row: number;
  readonly place: number;
  readonly rowColumn: PlotColumn;
  readonly column: PlotColumn;
  readonly correlation: Correlation;
  readonly count: number;
  /** By the Tab key; the others by arrow keys. */
  readonly isReached: boolean;
  readonly onFocus: () => void;
  readonly onOpen: CorrelationProps['onOpen'];
}) {
  const { row, place, rowColumn, column, correlation, count, isReached, onFocus, onOpen } = props;
  if (row === place) return <td class="diagonal" />;
  const isPearson = place < row;
  const value = (isPearson ? correlation.pearson : correlation.spearman)[row * count + place] ?? NaN;
  const text = Number.isNaN(value) ? '–' : value.toFixed(2).replace('-', '−').replace('−0.00', '0.00');
  const name = `${isPearson ? 'Pearson' : 'Spearman'} of ${rowColumn.name} and ${column.name}: ${text}`;
  const { front, infeasible } = colours.value;
  const colour = Number.isNaN(value)
    ? 'transparent'
    : withAlpha(value < 0 ? infeasible : front, Math.abs(value) * 0.52);
  return (
    <td>
      <button
        type="button"
        data-cell={`${row},${place}`}
        tabIndex={isReached ? 0 : -1}
        aria-label={name}
        title={name}
        style={{ backgroundColor: colour }}
        onFocus={onFocus}
        onClick={() => onOpen(column, rowColumn)}
      >
        {count <= NUMBERS_MAX ? text : ''}
      </button>
    </td>
  );
}

function clamp(value: number, count: number): number {
  return Math.max(0, Math.min(count - 1, value));
}
