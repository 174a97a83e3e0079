import { Progress } from '../parts/progress.js';
import { Empty, ErrorState } from '../parts/states.js';
import { liveHref, runsHref } from '../route.js';
import { uploads } from '../connection/uploads.js';
import { ProblemCard } from './problem-card.js';
import { RunHead } from './run-head.js';
import { RunTabs } from './run-tabs.js';
import './run.css';
import { SetsTab } from './sets-tab.js';
import { SupersededNote } from './superseded-note.js';
import { useRun, type OpenRun } from './use-run.js';

/** A committed run. */
export function RunView({ runKey }: { readonly runKey: string }) {
  const { state, reload } = useRun(runKey);
  const now = state.value;
  switch (now.case) {
    case 'loading':
      return (
        <section class="run">
          <h1 class="mono">{runKey}</h1>
          <Progress label="Rows loaded" done={now.done} total={now.total} />
        </section>
      );
    case 'failed':
      return (
        <section class="run">
          <h1 class="mono">{runKey}</h1>
          <Failed runKey={runKey} {...now} onRetry={reload} />
        </section>
      );
    case 'open':
      return (
        <section class="run">
          <SupersededNote subject="This run" run={now.run} onReload={reload} />
          <OpenRunView run={now.run} />
        </section>
      );
    default:
      return now satisfies never;
  }
}

function OpenRunView({ run }: { readonly run: OpenRun }) {
  const { model, result, header } = run;
  if (header.variables.length === 0 || model.rows.value.rowCount === 0)
    return (
      <>
        <RunHead result={result.value} sample={undefined} />
        <Empty title="This run has no rows">
          <p>Its solver committed it without evaluating a design. What is known of its problem is below.</p>
        </Empty>
        <ProblemCard run={run} />
      </>
    );
  return (
    <>
      <RunHead result={result.value} sample={header.sample} />
      <RunTabs
        model={model}
        save={result}
        more={[
          {
            name: 'sets',
            title: 'Sets',
            count: result.value.resultSets.length,
            content: () => <SetsTab run={run} />,
          },
          { name: 'problem', title: 'Problem', content: () => <ProblemCard run={run} /> },
        ]}
      />
    </>
  );
}

function Failed(props: {
  readonly runKey: string;
  readonly message: string;
  readonly reason: string | undefined;
  readonly onRetry: () => void;
}) {
  const { runKey, message, reason, onRetry } = props;
  const isGoingOn = [...uploads.value.values()].some(({ key }) => key === runKey);
  if (reason !== 'RESULT_NOT_FOUND')
    return <ErrorState title="This run could not be loaded" message={message} onRetry={onRetry} />;
  return (
    <Empty title="There is no such run">
      {isGoingOn ? (
        <p>
          It is being saved, and not committed yet: <a href={liveHref(runKey)}>watch it live</a>.
        </p>
      ) : (
        <p>
          It may have been deleted or renamed. Go to the <a href={runsHref()}>runs</a>.
        </p>
      )}
    </Empty>
  );
}
