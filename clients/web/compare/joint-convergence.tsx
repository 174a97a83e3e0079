import { useSignal } from '@preact/signals';
import type { Convergence } from '../analysis/convergence.js';
import { Button } from '../parts/button.js';
import { ErrorState, Loading } from '../parts/states.js';
import { SERIES_COLOURS, seriesColour } from '../plots/colours.js';
import { LinePlot, type Line } from '../plots/line-plot.js';
import { titleOf } from '../rows/plot-columns.js';
import type { ComparedRun } from './comparison.js';
import { onCommonAxis, type Shared } from './shared.js';

/** The best value so far of each objective that is shared, and the hypervolume within one box, a line a run. */
export function JointConvergence(props: {
  readonly runs: readonly ComparedRun[];
  readonly shared: Shared;
  readonly hidden: ReadonlySet<number>;
  readonly convergences: readonly Convergence[] | undefined;
  readonly failure: string | undefined;
  /** All runs have the same objectives. */
  readonly isSame: boolean;
}) {
  const { runs, shared, hidden, convergences, failure, isSame } = props;
  const isLog = useSignal(false);
  if (failure !== undefined) return <ErrorState title="The convergence could not be computed" message={failure} />;
  if (convergences === undefined) return <Loading label="Computing the convergence" lines={4} />;
  const plot = (valuesOf: ValuesOf) => linesOf(runs, hidden, convergences, valuesOf);
  const together = { xTitle: 'evaluations', together: 'compared' };
  return (
    <div class="convergence">
      <div class="plot-tools">
        <h2>Best so far</h2>
        <Button isPressed={isLog.value} onClick={() => (isLog.value = !isLog.value)}>
          log y
        </Button>
      </div>
      <div class="line-plots">
        {shared.objectives.map((variable, k) => (
          <LinePlot
            key={variable.name}
            title={titleOf(variable)}
            {...together}
            {...plot(
              ({ objectives }, run) =>
                objectives.find(({ index }) => run.header.variables[index]?.name === variable.name)?.best,
            )}
            isLog={isLog.value}
            isXNamed={!isSame && k === shared.objectives.length - 1}
          />
        ))}
        {isSame && convergences.some(({ hypervolume }) => hypervolume !== undefined) && (
          <LinePlot
            title="hypervolume"
            {...together}
            {...plot(({ hypervolume }) => hypervolume)}
            isLog={false}
            isXNamed
          />
        )}
      </div>
    </div>
  );
}

type ValuesOf = (convergence: Convergence, run: ComparedRun) => Float64Array | undefined;

/** A line for each run that is not hidden, on one axis. */
function linesOf(
  runs: readonly ComparedRun[],
  hidden: ReadonlySet<number>,
  convergences: readonly Convergence[],
  valuesOf: ValuesOf,
): { x: Float64Array; lines: Line[] } {
  const shown = runs.flatMap((run, i) => {
    const convergence = convergences[i];
    const values = convergence && valuesOf(convergence, run);
    return values === undefined || hidden.has(i) ? [] : [{ i, key: run.key, at: convergence?.at ?? values, values }];
  });
  const { x, values } = onCommonAxis(shown);
  const lines = shown.map(({ i, key }, k) => ({
    ...{ name: key, colour: () => seriesColour(i), values: values[k] ?? x },
    isDashed: i >= SERIES_COLOURS,
  }));
  return { x, lines };
}
