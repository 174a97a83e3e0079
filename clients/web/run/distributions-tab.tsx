import { useSignal } from '@preact/signals';
import { ErrorState, Loading } from '../parts/states.js';
import { HistogramPlot } from '../plots/histogram.js';
import type { PlotColumn } from '../rows/plot-columns.js';
import { ColumnChoice } from './column-choice.js';
import type { RunModel } from './run-model.js';
import { useAnswer } from './use-answer.js';

/** More are chosen by hand: each takes time and place. */
const SHOWN_MAX = 48;

/** How the values of each column are distributed, those of the selected rows in front. */
export function DistributionsTab({ model }: { readonly model: RunModel }) {
  const chosen = useSignal<readonly number[]>(
    model.plotted
      .peek()
      .columns.slice(0, SHOWN_MAX)
      .map(({ index }) => index),
  );
  const answered = useAnswer(
    () => [model.plotted.value, model.selection.mask.value, chosen.value],
    async () => {
      const columns = chosen.peek();
      const mask = model.selection.mask.peek();
      return { columns, histograms: await model.ask({ case: 'histograms', columns, mask }, columns) };
    },
    [model],
  );
  const { answer, failure } = answered.value;
  const { columns, rowCount } = model.plotted.value;
  return (
    <section class="card" aria-label="Distributions">
      <div class="plot-tools">
        <p class="muted">Drag over bars to select by their values. Dotted lines are bounds.</p>
        <ColumnChoice columns={columns} chosen={chosen} />
      </div>
      {failure !== undefined && <ErrorState title="The distributions could not be computed" message={failure} />}
      {answer === undefined ? (
        failure === undefined && <Loading label="Computing the distributions" />
      ) : (
        <div class="histograms">
          {answer.columns.map((index, i) => {
            const column = columns.find((one) => one.index === index);
            const histogram = answer.histograms[i];
            return (
              column &&
              histogram && (
                <HistogramPlot
                  key={index}
                  column={column}
                  histogram={histogram}
                  onSelect={(from, to, how) => model.selection.change(rowsBetween(column, rowCount, from, to), how)}
                />
              )
            );
          })}
        </div>
      )}
    </section>
  );
}

function rowsBetween({ values }: PlotColumn, rowCount: number, from: number, to: number): Uint8Array {
  const mask = new Uint8Array(rowCount);
  for (let row = 0; row < rowCount; row++) {
    const value = values[row] as number;
    if (value >= from && value <= to) mask[row] = 1;
  }
  return mask;
}
