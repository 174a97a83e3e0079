import { useComputed, useSignal, type Signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { Direction } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { Button } from '../parts/button.js';
import { Empty } from '../parts/states.js';
import { runMark, type Mark } from '../plots/marks.js';
import { Scatter } from '../plots/scatter.js';
import { Selection } from '../plots/selection.js';
import { toggled } from '../plots/toggled.js';
import { runHref } from '../route.js';
import { AxisChoice } from '../run/axis-choice.js';
import { DesignCard } from '../run/design-card.js';
import { useAnswer } from '../run/use-answer.js';
import type { OpenRun } from '../run/use-run.js';
import { JointConvergence } from './joint-convergence.js';
import { JointDistributions } from './joint-distributions.js';
import { RunsTable } from './runs-table.js';
import { commonBox, jointRows, sharedOf } from './shared.js';
import { MarkSign } from '../plots/legend.js';
import './compare.css';

/** A run that is compared. */
export type ComparedRun = OpenRun & { readonly key: string };

/** Runs over the same axes: their fronts, how they converged, their distributions, and a table of what they came to. */
export function Comparison({ runs }: { readonly runs: readonly ComparedRun[] }) {
  const compared = useComparison(runs);
  const { shared, isFrontOnly, hidden, marks, joint, selection, isSame, answered } = compared;
  if (shared.columns.length === 0)
    return <Empty title="These runs have no column of numbers in common">{notShared(shared.others)}</Empty>;
  return (
    <>
      <RunLegend runs={runs} marks={marks.value} hidden={hidden} />
      <RunsTable runs={runs} shared={shared} marks={marks.value} convergences={answered.value.answer} isSame={isSame} />
      {notShared(shared.others)}
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
          onClick={() => (hidden.value = toggled(hidden.peek(), i))}
        >
          {marks[i] && <MarkSign {...marks[i]} />}
          <span class="mono">{key}</span>
        </button>
      ))}
    </div>
  );
}

function notShared(others: readonly { readonly name: string; readonly why: string }[]) {
  if (others.length === 0) return null;
  return (
    <p class="sample-note">
      Not compared, as not all runs share them:{' '}
      {others.map(({ name, why }, i) => (
        <span key={name}>
          {i > 0 && '; '}
          <b class="mono">{name}</b> {why}
        </span>
      ))}
      .
    </p>
  );
}

type JointProps = Required<Pick<Parameters<typeof Scatter>[0], 'hidden' | 'marks'>> & {
  readonly runs: readonly ComparedRun[];
  readonly joint: { readonly value: ReturnType<typeof jointRows> };
  readonly selection: Selection;
  readonly isFrontOnly: { value: boolean };
};

function JointScatter({ runs, joint, marks, hidden, selection, isFrontOnly }: JointProps) {
  const rows = useComputed(() => joint.value);
  const { columns } = joint.value;
  const objectives = columns.filter(({ variable }) => variable.direction !== Direction.UNSPECIFIED);
  const x = useSignal((objectives[0] ?? columns[0])?.name ?? '');
  const y = useSignal((objectives[1] ?? columns[1] ?? columns[0])?.name ?? '');
  const index = (name: string) => columns.find((column) => column.name === name)?.index ?? 0;
  const card = (row: number) => {
    const { classes, rowsOfRuns } = joint.value;
    const run = runs[classes[row] ?? 0];
    if (run === undefined) return null;
    return (
      <>
        <a class="mono" href={runHref(run.key)}>
          {run.key}
        </a>
        <DesignCard rows={run.model.rows.value} classes={run.model.plotted.value.classes} row={rowsOfRuns[row] ?? 0} />
      </>
    );
  };
  return (
    <Scatter {...{ rows, marks, hidden, selection, card }} x={index(x.value)} y={index(y.value)}>
      <span class="axes">
        <AxisChoice axis="x" columns={columns} chosen={x.value} onChoose={(name) => (x.value = name)} />
        <AxisChoice axis="y" columns={columns} chosen={y.value} onChoose={(name) => (y.value = name)} />
        <span class="segments" role="group" aria-label="Which rows">
          <Button isPressed={isFrontOnly.value} onClick={() => (isFrontOnly.value = true)}>
            Fronts
          </Button>
          <Button isPressed={!isFrontOnly.value} onClick={() => (isFrontOnly.value = false)}>
            Feasible
          </Button>
        </span>
      </span>
    </Scatter>
  );
}
