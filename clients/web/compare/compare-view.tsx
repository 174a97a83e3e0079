import { Button } from '../parts/button.js';
import { Progress } from '../parts/progress.js';
import { Empty, ErrorState } from '../parts/states.js';
import { COMPARED_MAX, compareHref, navigate, runHref, runsHref } from '../route.js';
import '../run/run.css';
import { Comparison, type ComparedRun } from './comparison.js';
import { SupersededNote } from '../run/superseded-note.js';
import type { RunState } from '../run/use-run.js';
import { useRuns } from './use-runs.js';

/** Some runs side by side. One that is named twice is there once. */
export function CompareView({ keys }: { readonly keys: readonly string[] }) {
  const different = [...new Set(keys)];
  if (different.length < 2 || different.length > COMPARED_MAX) return <WrongCount keys={different} />;
  return <Runs key={different.join('\n')} keys={different} />;
}

function WrongCount({ keys }: { readonly keys: readonly string[] }) {
  const [only] = keys;
  return (
    <Empty title={`From two to ${COMPARED_MAX} runs can be compared`}>
      <p>
        {keys.length > 1 && `These are ${keys.length}. `}
        {only !== undefined && keys.length === 1 && (
          <>
            This is one:{' '}
            <a class="mono" href={runHref(only)}>
              {only}
            </a>
            .{' '}
          </>
        )}
        Select them in the list of <a href={runsHref()}>runs</a>, and press <kbd>c</kbd>.
      </p>
    </Empty>
  );
}

function Runs({ keys }: { readonly keys: readonly string[] }) {
  const { states, reopen } = useRuns(keys);
  const open = states.value.flatMap((state, i): ComparedRun[] =>
    state.case === 'open' ? [{ ...state.run, key: keys[i] ?? '' }] : [],
  );
  const isLoading = states.value.some((state) => state.case === 'loading');
  const count = isLoading || open.length === keys.length ? keys.length : `${open.length} of ${keys.length}`;
  return (
    <section class="run compare">
      <header class="run-head">
        <h1>{count} runs compared</h1>
      </header>
      {states.value.map((state, i) => (
        <RunNote key={keys[i]} {...{ keys, state }} place={i} onRetry={() => reopen(i)} />
      ))}
      {!isLoading && open.length > 1 && <Comparison key={open.map(({ key }) => key).join('\n')} runs={open} />}
      {!isLoading && open.length < 2 && (
        <Empty title="There is nothing to compare">
          <p>
            Select two runs or more in the list of <a href={runsHref()}>runs</a>.
          </p>
        </Empty>
      )}
    </section>
  );
}

/** Of a run that is not there: how far it is, or why it can't be; of one that is, whether it is another by now. */
function RunNote(props: {
  readonly keys: readonly string[];
  readonly place: number;
  readonly state: RunState;
  readonly onRetry: () => void;
}) {
  const { keys, place, state, onRetry } = props;
  const key = keys[place] ?? '';
  if (state.case === 'open')
    return <SupersededNote subject={<span class="mono">{key}</span>} run={state.run} onReload={onRetry} />;
  if (state.case === 'loading')
    return (
      <div class="loading-run">
        <a class="mono" href={runHref(key)}>
          {key}
        </a>
        <Progress label={`Rows of ${key}`} done={state.done} total={state.total} />
      </div>
    );
  const isMissing = state.reason === 'RESULT_NOT_FOUND';
  return (
    <ErrorState
      title={isMissing ? `${key} is not stored` : `${key} could not be loaded`}
      message={isMissing ? 'It was deleted, or its key is another one.' : state.message}
      {...(!isMissing && { onRetry })}
    >
      {keys.length > 2 && (
        <Button onClick={() => navigate(compareHref(keys.toSpliced(place, 1)), { replace: true })}>Leave it out</Button>
      )}
    </ErrorState>
  );
}
