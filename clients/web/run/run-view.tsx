import { Button } from '../parts/button.js';
import { Progress } from '../parts/progress.js';
import { Empty, ErrorState } from '../parts/states.js';
import { liveHref, runsHref } from '../route.js';
import { uploads } from '../connection/uploads.js';
import { Note } from './note.js';
import { ProblemCard } from './problem-card.js';
import { RunHead } from './run-head.js';
import { RunTabs } from './run-tabs.js';
import './run.css';
import { SetsTab } from './sets-tab.js';
import { useRun, type OpenRun, type Superseded } from './use-run.js';

/** A committed run. */
export function RunView({ runKey }: { readonly runKey: string }) {
  const { state, superseded, reload } = useRun(runKey);
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
          <SupersededNote superseded={superseded.value} onReload={reload} />
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

function SupersededNote({ superseded, onReload }: { readonly superseded: Superseded; readonly onReload: () => void }) {
  if (superseded === undefined) return null;
  if (superseded.case === 'deleted')
    return <Note>This run was deleted. What you see is what it was; result sets can't be saved any more.</Note>;
  return (
    <Note>
      <span>It was saved anew, as revision {String(superseded.revision)}. What you see is the revision before.</span>
      <Button kind="primary" icon="retry" onClick={onReload}>
        Reload
      </Button>
    </Note>
  );
}
