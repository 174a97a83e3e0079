import { useComputed, useSignal } from '@preact/signals';
import { Button } from '../parts/button.js';
import { ErrorState, Loading } from '../parts/states.js';
import type { Convergence } from '../analysis/convergence.js';
import { colours } from '../plots/colours.js';
import { LinePlot, type Line } from '../plots/line-plot.js';
import { titleOf, type PlotColumn } from '../rows/plot-columns.js';
import type { RunModel } from './run-model.js';
import { useAnswer } from './use-answer.js';

/** Best, quartiles and hypervolume of a run, by generation where it has them, else by evaluation. */
export function ConvergencePlots({ model }: { readonly model: RunModel }) {
  const isByGeneration = useSignal(model.generation !== undefined);
  const isLog = useSignal(false);
  const answered = useAnswer(
    () => [model.plotted.value, isByGeneration.value],
    () => model.convergence({ isByGeneration: isByGeneration.value }),
    [model],
  );
  const { answer, failure } = answered.value;
  const columns = useComputed(() => model.plotted.value.columns);
  if (failure !== undefined) return <ErrorState title="The convergence could not be computed" message={failure} />;
  if (answer === undefined) return <Loading label="Computing the convergence" lines={4} />;
  const generation = model.generation;
  return (
    <div class="convergence">
      <div class="plot-tools">
        <h2>Convergence</h2>
        <div class="tools">
          {generation && (
            <span class="segments" role="group" aria-label="By">
              <Button isPressed={isByGeneration.value} onClick={() => (isByGeneration.value = true)}>
                by {generation.name}
              </Button>
              <Button isPressed={!isByGeneration.value} onClick={() => (isByGeneration.value = false)}>
                by evaluation
              </Button>
            </span>
          )}
          <Button isPressed={isLog.value} onClick={() => (isLog.value = !isLog.value)}>
            log y
          </Button>
        </div>
      </div>
      <ConvergenceLines convergence={answer} columns={columns.value} isLog={isLog.value} />
    </div>
  );
}

function ConvergenceLines({
  convergence,
  columns,
  isLog,
}: {
  readonly convergence: Convergence;
  readonly columns: readonly PlotColumn[];
  readonly isLog: boolean;
}) {
  const { at, generation, objectives, hypervolume } = convergence;
  const name = (index: number | undefined) => columns.find((column) => column.index === index);
  const xTitle = name(generation)?.name ?? 'evaluations';
  return (
    <div class="line-plots">
      {objectives.map(({ index, best, lower, median, upper }) => {
        const column = name(index);
        const lines: Line[] = [
          { name: 'lower quartile', colour: () => colours.value.muted, values: lower, width: 0, isBand: true },
          { name: 'upper quartile', colour: () => colours.value.muted, values: upper, width: 0 },
          { name: 'median', colour: () => colours.value.muted, values: median, isDashed: true },
          { name: 'best', colour: () => colours.value.front, values: best },
        ];
        return (
          <LinePlot
            key={index}
            title={column === undefined ? '' : titleOf(column)}
            {...{ xTitle, lines, isLog }}
            x={at}
            together="convergence"
            isXNamed={hypervolume === undefined && index === objectives.at(-1)?.index}
          />
        );
      })}
      {hypervolume && (
        <LinePlot
          title="hypervolume"
          xTitle={xTitle}
          x={at}
          lines={[{ name: shareName(objectives.length), colour: () => colours.value.feasible, values: hypervolume }]}
          isLog={false}
          together="convergence"
          isXNamed
        />
      )}
    </div>
  );
}

/** Of many objectives it is not computed, but estimated by points. */
function shareName(objectives: number): string {
  return objectives < 4 ? 'share of the box' : 'share of the box, estimated';
}
