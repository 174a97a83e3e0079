import { Progress } from '../parts/progress.js';
import { Empty, ErrorState } from '../parts/states.js';
import { runHref, runsHref } from '../route.js';
import '../run/run.css';
import type { OpenRun } from '../run/use-run.js';
import { Comparison } from './comparison.js';
import { useRuns } from './use-runs.js';

/** Some runs side by side. */
export function CompareView({ keys }: { readonly keys: readonly string[] }) {
  const states = useRuns(keys).value;
  if (keys.length < 2)
    return (
      <Empty title="Two runs or more can be compared">
        <p>
          Choose them in the list of <a href={runsHref()}>runs</a>.
        </p>
      </Empty>
    );
  const open = states.flatMap((state, i): (OpenRun & { readonly key: string })[] =>
    state.case === 'open' ? [{ ...state.run, key: keys[i] ?? '' }] : [],
  );
  const isLoading = states.some((state) => state.case === 'loading');
  return (
    <section class="run compare">
      <header class="run-head">
        <h1>{keys.length} runs</h1>
      </header>
      {states.map((state, i) =>
        state.case === 'failed' ? (
          <ErrorState key={keys[i]} title={`${keys[i]} could not be loaded`} message={state.message} />
        ) : state.case === 'loading' ? (
          <div key={keys[i]} class="loading-run">
            <a class="mono" href={runHref(keys[i] ?? '')}>
              {keys[i]}
            </a>
            <Progress label={`Rows of ${keys[i]}`} done={state.done} total={state.total} />
          </div>
        ) : null,
      )}
      {!isLoading && open.length > 0 && <Comparison key={open.map(({ key }) => key).join('\n')} runs={open} />}
    </section>
  );
}
