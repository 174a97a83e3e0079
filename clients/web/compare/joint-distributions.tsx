import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { formatNumber, formatShare } from '../parts/format.js';
import type { Mark } from '../plots/marks.js';
import { extentOf } from '../plots/scale.js';
import { titleOf } from '../rows/plot-columns.js';
import type { ComparedRun } from './comparison.js';
import { useMemo } from 'preact/hooks';

const BINS = 40;
const HEIGHT = 100;
/** The others are named in the table of a run. */
const COLUMNS_MAX = 24;

/** How the values of each shared column are distributed in each run, as shares of its rows. */
export function JointDistributions(props: {
  readonly runs: readonly ComparedRun[];
  readonly columns: readonly Variable[];
  readonly marks: readonly Mark[];
  readonly hidden: ReadonlySet<number>;
}) {
  const { runs, columns, marks, hidden } = props;
  const shown = columns.slice(0, COLUMNS_MAX);
  return (
    <section class="card" aria-label="Distributions">
      <div class="plot-tools">
        <h2>Distributions</h2>
        <p class="muted">
          {shown.length < columns.length && `The first ${shown.length} of ${columns.length} shared columns. `}
          Heights are shares of the rows of a run.
        </p>
      </div>
      <div class="histograms">
        {shown.map((variable) => (
          <JointHistogram key={variable.name} {...{ variable, runs, marks, hidden }} />
        ))}
      </div>
    </section>
  );
}

function JointHistogram(props: {
  readonly variable: Variable;
  readonly runs: readonly ComparedRun[];
  readonly marks: readonly Mark[];
  readonly hidden: ReadonlySet<number>;
}) {
  const { variable, runs, marks, hidden } = props;
  const { min, max, shares } = useMemo(() => sharesOf(runs, variable.name), [runs, variable]);
  const most = Math.max(...shares.flatMap((one, i) => (hidden.has(i) ? [] : Array.from(one))), Number.MIN_VALUE);
  return (
    <figure class="histogram">
      <figcaption>
        <b title={variable.description}>{titleOf(variable)}</b>
        <span class="muted number">up to {formatShare(most)}</span>
      </figcaption>
      <div class="bars">
        <svg
          viewBox={`0 0 ${BINS} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${variable.name} in each run, from ${formatNumber(min)} to ${formatNumber(max)}`}
        >
          {shares.map((one, i) =>
            hidden.has(i) ? null : (
              <path key={runs[i]?.key} class="outline" stroke={marks[i]?.colour} d={outline(one, most)} />
            ),
          )}
        </svg>
      </div>
      <div class="ends muted number">
        <span>{formatNumber(min, 4)}</span>
        <span>{formatNumber(max, 4)}</span>
      </div>
    </figure>
  );
}

function sharesOf(runs: readonly ComparedRun[], name: string): { min: number; max: number; shares: Float64Array[] } {
  const columns = runs.map(
    ({ model }) => model.plotted.peek().columns.find((column) => column.name === name)?.values ?? new Float64Array(0),
  );
  const extents = columns.flatMap((values) => extentOf(values) ?? []);
  const min = Math.min(...extents.map((extent) => extent.min));
  const max = Math.max(...extents.map((extent) => extent.max));
  const scale = max > min ? BINS / (max - min) : 0;
  const shares = columns.map((values) => {
    const bins = new Float64Array(BINS);
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      const bin = Math.min(BINS - 1, Math.floor((value - min) * scale));
      bins[bin] = (bins[bin] ?? 0) + 1 / values.length;
    }
    return bins;
  });
  return { min, max, shares };
}

function outline(shares: Float64Array, most: number): string {
  const y = (share: number) => (HEIGHT - (share / most) * (HEIGHT - 4)).toFixed(2);
  return `M0 ${HEIGHT}${Array.from(shares, (share, i) => `V${y(share)}H${i + 1}`).join('')}V${HEIGHT}`;
}
