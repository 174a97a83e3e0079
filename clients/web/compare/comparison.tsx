import { useComputed, useSignal, type Signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { Direction } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { Empty } from '../parts/states.js';
import { runMark, type Mark } from '../plots/marks.js';
import { Selection } from '../plots/selection.js';
import { toggled } from '../plots/toggled.js';
import { useAnswer } from '../run/use-answer.js';
import type { OpenRun } from '../run/use-run.js';
import { JointConvergence } from './joint-convergence.js';
import { JointDistributions } from './joint-distributions.js';
import { JointScatter } from './joint-scatter.js';
import { RunsTable } from './runs-table.js';
import { commonBox, jointRows, sharedOf, type Shared } from './shared.js';
import { MarkSign } from '../plots/legend.js';
import './compare.css';

/** A run that is compared. */
export type ComparedRun = OpenRun & { readonly key: string };

/** Runs over the same axes: their fronts, how they converged, their distributions, and a table of what they came to. */
export function Comparison({ runs }: { readonly runs: readonly ComparedRun[] }) {
  const compared = useComparison(runs);
  const { shared, isFrontOnly, hidden, marks, joint, selection, isSame, answered } = compared;
  const table = (
    <>
      <RunsTable runs={runs} shared={shared} marks={marks.value} convergences={answered.value.answer} isSame={isSame} />
      <NotShared others={shared.others} />
    </>
  );
  if (shared.columns.length === 0)
    return (
      <>
        {table}
        <Empty title="These runs have no column of numbers in common">
          <p>Columns are compared that have the same name, role, unit and direction in all of them.</p>
        </Empty>
      </>
    );
  return (
    <>
      <RunLegend runs={runs} marks={marks.value} hidden={hidden} />
      {table}
      <div class="overview">
        <section class="card front-card" aria-label="Fronts">
          <JointScatter {...{ runs, joint, marks, hidden, selection, isFrontOnly }} />
        </section>
        {shared.objectives.length > 0 && (
          <section class="card convergence-card" aria-label="Convergence">
            <JointConvergence
              {...{ runs, shared, hidden: hidden.value, isSame }}
              convergences={answered.value.answer}
              failure={answered.value.failure}
            />
          </section>
        )}
      </div>
      <JointDistributions runs={runs} columns={shared.columns} hidden={hidden.value} marks={marks.value} />
    </>
  );
}

/** What the parts of the view share. */
function useComparison(runs: readonly ComparedRun[]) {
  const shared = useMemo(
    () =>
      sharedOf(
        runs.map(({ header }) => header.variables),
        runs.map(({ key }) => key),
      ),
    [runs],
  );
  const isFrontOnly = useSignal(true);
  const hidden = useSignal<ReadonlySet<number>>(new Set());
  const marks = useComputed(() => runs.map(({ key }, i) => runMark(key, i)));
  const joint = useComputed(() =>
    jointRows(
      runs.map(({ model }) => model.plotted.value),
      shared.columns,
      isFrontOnly.value,
    ),
  );
  const selection = useMemo(() => new Selection(), [runs]);
  const box = useMemo(() => {
    const fronts = jointRows(
      runs.map(({ model }) => model.plotted.peek()),
      shared.objectives,
      true,
    );
    const signs = shared.objectives.map(({ direction }) => (direction === Direction.MAXIMIZE ? -1 : 1));
    return commonBox(fronts, shared.objectives, signs);
  }, [runs]);
  // A box is that of all objectives of a run, in its order.
  const isSame = runs.every(({ model }) => model.goals.objectives.length === shared.objectives.length);
  const answered = useAnswer(
    () => runs.map(({ model }) => model.rows.value),
    () =>
      Promise.all(runs.map(({ model }) => model.convergence({ isByGeneration: false, box: isSame ? box : undefined }))),
    [runs],
  );
  return { shared, isFrontOnly, hidden, marks, joint, selection, isSame, answered };
}

function RunLegend(props: {
  readonly runs: readonly ComparedRun[];
  readonly marks: readonly Mark[];
  readonly hidden: Signal<ReadonlySet<number>>;
}) {
  const { runs, marks, hidden } = props;
  return (
    <div class="run-legend" role="group" aria-label="Runs">
      {runs.map(({ key }, i) => (
        <button
          key={key}
          type="button"
          aria-pressed={!hidden.value.has(i)}
          title={`${hidden.value.has(i) ? 'Show' : 'Hide'} ${key} in the plots`}
          onClick={() => (hidden.value = toggled(hidden.peek(), i))}
        >
          {marks[i] && <MarkSign {...marks[i]} />}
          <span class="mono">{key}</span>
        </button>
      ))}
    </div>
  );
}

/** What is not compared, by why it is not. */
function NotShared({ others }: { readonly others: Shared['others'] }) {
  if (others.length === 0) return null;
  const reasons = [...new Set(others.map(({ why }) => why))];
  return (
    <p class="sample-note">
      Not compared, as not all runs share them:{' '}
      {reasons.map((reason, i) => (
        <span key={reason}>
          {i > 0 && '; '}
          <b class="mono">{others.flatMap(({ name, why }) => (why === reason ? [name] : [])).join(', ')}</b> ({reason})
        </span>
      ))}
      .
    </p>
  );
}
