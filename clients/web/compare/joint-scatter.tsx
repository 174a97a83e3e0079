import { useComputed, useSignal, type ReadonlySignal, type Signal } from '@preact/signals';
import { Direction } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { Button } from '../parts/button.js';
import { formatCount, formatCounted } from '../parts/format.js';
import type { Mark } from '../plots/marks.js';
import { Scatter } from '../plots/scatter.js';
import { useEscapeClears, type Selection } from '../plots/selection.js';
import type { PlotColumn } from '../rows/plot-columns.js';
import { runHref } from '../route.js';
import { AxisChoice } from '../run/axis-choice.js';
import { DesignCard } from '../run/design-card.js';
import type { ComparedRun } from './comparison.js';
import type { JointRows } from './shared.js';

export interface JointScatterProps {
  readonly runs: readonly ComparedRun[];
  readonly joint: ReadonlySignal<JointRows>;
  readonly marks: ReadonlySignal<readonly Mark[]>;
  readonly hidden: Signal<ReadonlySet<number>>;
  readonly selection: Selection;
  readonly isFrontOnly: Signal<boolean>;
}

/** The rows of all runs against two columns that they share; what is selected there is counted by run. */
export function JointScatter({ runs, joint, marks, hidden, selection, isFrontOnly }: JointScatterProps) {
  const { columns } = joint.value;
  const [firstX, firstY] = axesOf(columns);
  const x = useSignal(firstX?.name ?? '');
  const y = useSignal(firstY?.name ?? '');
  const index = (name: string) => columns.find((column) => column.name === name)?.index ?? 0;
  const show = (isFront: boolean) => {
    // Other rows than before: what was selected of those says nothing of these.
    selection.clear();
    isFrontOnly.value = isFront;
  };
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
    <>
      <Scatter {...{ marks, hidden, selection, card }} rows={joint} x={index(x.value)} y={index(y.value)}>
        <span class="axes">
          <AxisChoice axis="x" columns={columns} chosen={x.value} onChoose={(name) => (x.value = name)} />
          <AxisChoice axis="y" columns={columns} chosen={y.value} onChoose={(name) => (y.value = name)} />
          <span class="segments" role="group" aria-label="Which rows">
            <Button isPressed={isFrontOnly.value} onClick={() => show(true)}>
              Fronts
            </Button>
            <Button isPressed={!isFrontOnly.value} onClick={() => show(false)}>
              Feasible
            </Button>
          </span>
        </span>
      </Scatter>
      <SelectedByRun {...{ runs, joint, selection }} />
    </>
  );
}

/** The first two objectives; one alone against a design variable or what else there is. */
function axesOf(columns: readonly PlotColumn[]): readonly (PlotColumn | undefined)[] {
  const [first, second] = columns.filter(({ variable }) => variable.direction !== Direction.UNSPECIFIED);
  if (second !== undefined) return [first, second];
  const y = first ?? columns[1] ?? columns[0];
  return [columns.find((column) => column !== y) ?? y, y];
}

/** How many rows of each run are selected. */
function SelectedByRun({ runs, joint, selection }: Pick<JointScatterProps, 'runs' | 'joint' | 'selection'>) {
  useEscapeClears(selection);
  const counts = useComputed(() => countsByRun(joint.value, selection.mask.value, runs.length));
  const { value: count } = selection.count;
  return (
    <div class={`joint-selection ${count > 0 ? 'some' : ''}`}>
      <p role="status">
        {count === 0 ? (
          <span class="muted">Drag to select rows and count them by run.</span>
        ) : (
          <>
            <b class="number">{formatCount(count)}</b> of {formatCounted(joint.value.rowCount, 'row')} selected:{' '}
            {runs.map(({ key }, i) => (
              <span key={key}>
                {i > 0 && ', '}
                <b class="number">{formatCount(counts.value[i] ?? 0)}</b> of <span class="mono">{key}</span>
              </span>
            ))}
          </>
        )}
      </p>
      {count > 0 && <Button onClick={() => selection.clear()}>Clear</Button>}
    </div>
  );
}

function countsByRun({ classes }: JointRows, mask: Uint8Array | undefined, runCount: number): number[] {
  const counts = new Array<number>(runCount).fill(0);
  mask?.forEach((isSelected, row) => {
    const run = classes[row] as number;
    counts[run] = (counts[run] as number) + isSelected;
  });
  return counts;
}
