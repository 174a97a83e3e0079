import type { Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { binOf, binsOf, endsOf, NO_BINS, rangeOf } from '../analysis/distribution.js';
import { formatNumber, formatShare } from '../parts/format.js';
import type { Mark } from '../plots/marks.js';
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
  const { ends, count, shares } = useMemo(() => sharesOf(runs, variable.name), [runs, variable]);
  const most = Math.max(...shares.flatMap((one, i) => (hidden.has(i) ? [] : Array.from(one))), Number.MIN_VALUE);
  return (
    <figure class="histogram">
      <figcaption>
        <b title={variable.description}>{titleOf(variable)}</b>
        <span class="muted number">up to {formatShare(most)}</span>
      </figcaption>
      <div class="bars">
        <svg
          viewBox={`0 0 ${count} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${variable.name} in each run, from ${formatNumber(ends.from)} to ${formatNumber(ends.to)}`}
        >
          {shares.map((one, i) =>
            hidden.has(i) ? null : (
              <path key={runs[i]?.key} class="outline" stroke={marks[i]?.colour} d={outline(one, most)} />
            ),
          )}
        </svg>
      </div>
      <div class="ends muted number">
        <span>{formatNumber(ends.from, 4)}</span>
        <span>{formatNumber(ends.to, 4)}</span>
      </div>
    </figure>
  );
}

/** Values of a column in bins that are the same for all runs. */
interface JointShares {
  readonly ends: { readonly from: number; readonly to: number };
  /** Of bins. */
  readonly count: number;
  /** Of each run, by bin. */
  readonly shares: readonly Float64Array[];
}

function sharesOf(runs: readonly ComparedRun[], name: string): JointShares {
  const columns = runs.map(
    ({ model }) => model.plotted.peek().columns.find((column) => column.name === name)?.values ?? new Float64Array(0),
  );
  const ranges = columns.flatMap((values) => rangeOf(values) ?? []);
  const min = Math.min(...ranges.map((range) => range.min));
  const max = Math.max(...ranges.map((range) => range.max));
  const isWhole = ranges.every((range) => range.isWhole);
  const { count, ...bins } = ranges.length === 0 ? { ...NO_BINS, count: 1 } : binsOf({ min, max, isWhole }, BINS);
  const shares = columns.map((values) => {
    const binned = new Float64Array(count);
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      const bin = binOf(value, bins, count);
      binned[bin] = (binned[bin] ?? 0) + 1 / values.length;
    }
    return binned;
  });
  return { ends: endsOf(bins), count, shares };
}

function outline(shares: Float64Array, most: number): string {
  const y = (share: number) => (HEIGHT - (share / most) * (HEIGHT - 4)).toFixed(2);
  return `M0 ${HEIGHT}${Array.from(shares, (share, i) => `V${y(share)}H${i + 1}`).join('')}V${HEIGHT}`;
}
