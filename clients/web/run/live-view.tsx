import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { daemon } from '../connection/daemon.js';
import { loss } from '../connection/events.js';
import { uploads } from '../connection/uploads.js';
import { Badge, type Tone } from '../parts/badge.js';
import { Button } from '../parts/button.js';
import { formatCount, formatCounted } from '../parts/format.js';
import { Rate } from '../parts/rate.js';
import { Sparkline } from '../parts/sparkline.js';
import { Empty, ErrorState, Loading } from '../parts/states.js';
import { toast } from '../parts/toast.js';
import { navigate, route, runHref, runsHref } from '../route.js';
import { keepSelection } from './kept-selection.js';
import { LiveRun, type LivePhase } from './live-run.js';
import { VariablesTable } from './problem-card.js';
import type { RunModel } from './run-model.js';
import { RunTabs } from './run-tabs.js';
import { Note } from './note.js';
import './run.css';

/** A save in progress: its plots grow as rows come, and at the commit it becomes the view of the run. */
export function LiveView({ runKey }: { readonly runKey: string }) {
  const attempt = useSignal(0);
  const live = useSignal<LiveRun | undefined>(undefined);
  useEffect(() => {
    const run = new LiveRun(runKey);
    live.value = run;
    return () => run[Symbol.dispose]();
  }, [runKey, attempt.value]);
  return (
    <section class="run live">
      {live.value && <OpenLiveRun runKey={runKey} live={live.value} onRetry={() => attempt.value++} />}
    </section>
  );
}

function OpenLiveRun(props: { readonly runKey: string; readonly live: LiveRun; readonly onRetry: () => void }) {
  const { runKey, live, onRetry } = props;
  const phase = live.phase.value;
  const model = live.model.value;
  useEffect(() => {
    // One that is paused is looked at: it goes over when it is resumed.
    if (phase.case === 'committed' && !live.isPaused.value) {
      const { revision } = phase.result;
      if (model !== undefined) keepSelection(runKey, revision, model.rows.peek(), model.selection.mask.peek());
      toast(`${runKey} is committed: ${formatCounted(phase.result.rowCount, 'row')}.`);
      navigate(runHref(runKey, route.peek().query), { replace: true });
    }
    if (phase.case === 'failed' && phase.reason === 'UPLOAD_NOT_FOUND' && model === undefined)
      void goIfCommitted(runKey);
  }, [phase, live.isPaused.value]);
  if (model === undefined)
    return (
      <>
        <h1 class="mono">{runKey}</h1>
        {phase.case === 'lost' && <PhaseNote live={live} onRetry={onRetry} />}
        {phase.case === 'failed' ? (
          <NotThere live={live} phase={phase} onRetry={onRetry} />
        ) : (
          <Loading label="Waiting for the save" />
        )}
      </>
    );
  const problem = live.header.value?.result?.problem;
  return (
    <>
      <LiveHead runKey={runKey} live={live} model={model} />
      <PhaseNote live={live} onRetry={onRetry} />
      {model.rows.value.rowCount === 0 ? (
        <Empty title="No row has come yet">
          <p>The solver has opened the save. Its rows are drawn here as soon as they are durable.</p>
        </Empty>
      ) : (
        <RunTabs
          model={model}
          more={[
            {
              name: 'problem',
              title: 'Problem',
              content: () => (
                <section class="card problem-card" aria-label="Problem">
                  <h2>{problem?.name}</h2>
                  <VariablesTable variables={problem?.variables ?? []} summaries={[]} />
                </section>
              ),
            },
          ]}
        />
      )}
    </>
  );
}

function LiveHead({
  runKey,
  live,
  model,
}: {
  readonly runKey: string;
  readonly live: LiveRun;
  readonly model: RunModel;
}) {
  const { isPaused, received, rates, phase } = live;
  const { rowCount } = model.rows.value;
  const problem = live.header.value?.result?.problem;
  const isOver = phase.value.case === 'failed' || phase.value.case === 'committed';
  const [tone, state] = stateOf(phase.value, isPaused.value);
  return (
    <header class="run-head">
      <div class="line">
        <h1 class="mono">{runKey}</h1>
        <Badge tone={tone}>{state}</Badge>
        {!isOver && (
          <span class="live-rate">
            <Sparkline values={rates.value} label="Rows a second over the last half minute" />
            <Rate rate={rates.value.at(-1)} />
          </span>
        )}
        {(!isOver || isPaused.value) && (
          <Button onClick={() => (isPaused.value ? live.resume() : live.pause())}>
            {isPaused.value ? 'Resume' : 'Pause'}
          </Button>
        )}
      </div>
      <p class="facts muted">
        {problem?.name && <b>{problem.name}</b>}
        {problem?.solver && <span>{problem.solver}</span>}
        <span class="number">{formatCounted(received.value, 'row')}</span>
        {isPaused.value && (
          <span class="number">
            {formatCount(received.value - model.rows.value.totalRowCount)} of them not shown yet
          </span>
        )}
      </p>
      {model.rows.value.rowNumbers !== undefined && (
        <p class="sample-note">
          {formatCount(rowCount)} of {formatCounted(model.rows.value.totalRowCount, 'row')}: the front, every
          improvement, the newest rows, and of the others as many as the page keeps, evenly.
        </p>
      )}
    </header>
  );
}

function stateOf({ case: phase }: LivePhase, isPaused: boolean): [Tone, string] {
  if (phase === 'failed') return ['error', 'ended'];
  if (phase === 'committed') return ['ok', 'committed'];
  if (phase === 'lost') return ['warn', 'connection lost'];
  return isPaused ? ['warn', 'paused'] : ['accent', 'live'];
}

function PhaseNote({ live, onRetry }: { readonly live: LiveRun; readonly onRetry: () => void }) {
  const { value: phase } = live.phase;
  if (phase.case === 'lost')
    return (
      <Note>
        {/* Where the whole page has lost it, that is told above. */}
        {loss.value === undefined && phase.message} The plots stand still, and go on by themselves when the daemon is
        back.
      </Note>
    );
  if (phase.case === 'committed') return <Note>It is committed. Resume shows the run as it was saved.</Note>;
  if (phase.case !== 'failed') return null;
  if (live.hasBegun(uploads.value))
    return (
      <Note>
        <span>{phase.message} A new save of this key has begun since.</span>
        <Button onClick={onRetry}>Follow it</Button>
      </Note>
    );
  return (
    <Note>
      <span>{phase.message} What you see is what had come.</span>
      <Button icon="retry" onClick={onRetry}>
        Try again
      </Button>
    </Note>
  );
}

function NotThere(props: {
  readonly live: LiveRun;
  readonly phase: Extract<LivePhase, { case: 'failed' }>;
  readonly onRetry: () => void;
}) {
  const { live, phase, onRetry } = props;
  useSignalEffect(() => {
    if (live.hasBegun(uploads.value)) onRetry();
  });
  if (phase.reason !== 'UPLOAD_NOT_FOUND')
    return <ErrorState title="This save can't be followed" message={phase.message} onRetry={onRetry} />;
  return (
    <Empty title="Nothing is being saved under this key">
      <p>
        Its solver has not begun, or gave up. As soon as one begins, its rows are shown here. What is stored is in the
        list of <a href={runsHref()}>runs</a>.
      </p>
      <Button icon="retry" onClick={onRetry}>
        Look again
      </Button>
    </Empty>
  );
}

/** The save may have come to its end before the page was there. */
async function goIfCommitted(key: string): Promise<void> {
  try {
    await daemon.getResult({ key });
    navigate(runHref(key), { replace: true });
  } catch {
    // There is no such run either: the view says that nothing is being saved.
  }
}
