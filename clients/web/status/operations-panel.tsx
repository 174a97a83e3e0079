import { Badge, type Tone } from '../parts/badge.js';
import { Button } from '../parts/button.js';
import { formatCount } from '../parts/format.js';
import { Progress } from '../parts/progress.js';
import { runHref } from '../route.js';
import { dismiss, operations, type Operation, type OperationState } from './operations.js';
import './operations.css';

const STATES: Readonly<Record<OperationState, readonly [tone: Tone, text: string]>> = {
  running: ['accent', 'running'],
  done: ['ok', 'done'],
  failed: ['error', 'failed'],
  cancelled: ['warn', 'cancelled'],
};

/** The operations that this page has begun, until they are dismissed. */
export function OperationsPanel() {
  if (operations.value.length === 0) return null;
  return (
    <section class="operations" aria-label="Operations">
      {operations.value.map((operation) => (
        <OperationCard key={operation.id} operation={operation} />
      ))}
    </section>
  );
}

function OperationCard({ operation }: { readonly operation: Operation }) {
  const { title, cancel } = operation;
  const state = operation.state.value;
  const { at, done, total, counts } = operation.progress.value;
  const [tone, text] = STATES[state];
  return (
    <article class="operation card">
      <header>
        <h3>{title}</h3>
        <Badge tone={tone}>{text}</Badge>
        {state === 'running' ? (
          <Button onClick={cancel}>Cancel</Button>
        ) : (
          <Button kind="quiet" icon="close" label={`Dismiss: ${title}`} onClick={() => dismiss(operation)} />
        )}
      </header>
      {state === 'running' && <Progress label={title} done={done} total={total} />}
      <p class="counts">
        {Object.entries(counts).map(([name, count]) => (
          <span key={name} class="number">
            {typeof count === 'number' ? formatCount(count) : count} <span class="muted">{name}</span>
          </span>
        ))}
        {state === 'running' && at !== '' && <span class="mono muted at">{at}</span>}
      </p>
      {operation.word.value !== undefined && (
        <p class={state === 'failed' ? 'word failed' : 'word'} role={state === 'failed' ? 'alert' : undefined}>
          {operation.word.value}
        </p>
      )}
      <Findings operation={operation} />
    </article>
  );
}

function Findings({ operation }: { readonly operation: Operation }) {
  const findings = operation.findings.value;
  if (findings.length === 0) return null;
  const more = operation.findingCount.value - findings.length;
  return (
    <ul class="findings" tabIndex={0} aria-label="What was found">
      {findings.map(({ key, what, tone, message }, i) => (
        <li key={i}>
          <Badge tone={tone}>{what}</Badge>
          <a class="mono" href={runHref(key)}>
            {key}
          </a>
          <span class="muted">{message}</span>
        </li>
      ))}
      {more > 0 && <li class="muted">and {formatCount(more)} more</li>}
    </ul>
  );
}
