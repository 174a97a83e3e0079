import { useSignal } from '@preact/signals';
import { formatCount } from '../parts/format.js';
import { ErrorState, Loading } from '../parts/states.js';
import { CorrelationPlot } from '../plots/correlation.js';
import { firstAxes } from '../plots/parallel.js';
import { changeQuery } from '../route.js';
import { ColumnChoice } from './column-choice.js';
import type { RunModel } from './run-model.js';
import { useAnswer } from './use-answer.js';

const COLUMNS_MAX = 24;

/** How columns go together, two by two; a click shows the two against each other. */
export function CorrelationTab({ model }: { readonly model: RunModel }) {
  const numbers = model.plotted.value.columns.filter(({ labels }) => labels === undefined || labels.length === 2);
  const chosen = useSignal(firstAxes(numbers, COLUMNS_MAX));
  const answered = useAnswer(
    () => [model.plotted.value, chosen.value],
    async () => {
      const columns = chosen.peek();
      return { columns, correlation: await model.ask({ case: 'correlation', columns }, columns) };
    },
    [model],
  );
  const { answer, failure } = answered.value;
  const { rowCount } = model.plotted.value;
  const shown = answer?.columns.flatMap((index) => numbers.find((column) => column.index === index) ?? []) ?? [];
  const looked = answer?.correlation.rowCount ?? 0;
  return (
    <section class="card" aria-label="Correlation">
      <div class="plot-tools">
        <p class="muted">
          Below the diagonal Pearson, how linear it is; above it Spearman, how monotonic. A click shows the two columns.
          {looked > 0 && looked < rowCount && ` Of ${formatCount(looked)} rows, evenly spread.`}
        </p>
        <ColumnChoice columns={numbers} chosen={chosen} />
      </div>
      {failure !== undefined && <ErrorState title="The correlations could not be computed" message={failure} />}
      {answer === undefined ? (
        failure === undefined && <Loading label="Computing the correlations" />
      ) : (
        <CorrelationPlot
          columns={shown}
          correlation={answer.correlation}
          onOpen={(x, y) => changeQuery({ tab: undefined, x: x.name, y: y.name, z: '-' })}
        />
      )}
    </section>
  );
}
