import { Outcome, type Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { RowSample } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { Badge, type Tone } from '../parts/badge.js';
import { formatBytes, formatCount, formatCounted, formatDuration, msOf } from '../parts/format.js';
import { Tag } from '../parts/tag.js';
import { RelativeTime } from '../parts/time.js';

/** What a run is: its key, how it ended, by whom and when, and how many rows it has. */
export function RunHead({ result, sample }: { readonly result: Result; readonly sample: RowSample | undefined }) {
  const { key, revision, problem, tags, description, outcome, rowCount, sizeBytes, createTime, commitTime } = result;
  const [tone, ending] = outcomeOf(outcome);
  const [openedMs, committedMs] = [msOf(createTime), msOf(commitTime)];
  const duration = openedMs === undefined || committedMs === undefined ? undefined : committedMs - openedMs;
  return (
    <header class="run-head">
      <div class="line">
        <h1 class="mono">{key}</h1>
        <Badge tone={tone}>{ending}</Badge>
      </div>
      <p class="facts muted">
        {problem?.name && <b>{problem.name}</b>}
        {problem?.solver && <span>{problem.solver}</span>}
        <span>{formatCounted(rowCount, 'row')}</span>
        <span>{formatBytes(sizeBytes)}</span>
        <span>
          committed <RelativeTime at={commitTime} />
        </span>
        {duration !== undefined && duration >= 1_000 && <span>ran {formatDuration(duration)}</span>}
        <span>revision {String(revision)}</span>
        {Object.entries(tags).map(([name, value]) => (
          <Tag key={name} name={name} value={value} />
        ))}
      </p>
      {description && <p class="description">{description}</p>}
      {sample && <SampleNote sample={sample} rowCount={rowCount} />}
    </header>
  );
}

/** Says that not every row is here, and which are. */
export function SampleNote({ sample, rowCount }: { readonly sample: RowSample; readonly rowCount: bigint }) {
  const here = Number(sample.rowCount);
  const front = Number(sample.frontRowCount);
  const sentFront = Number(sample.sentFrontRowCount);
  const rest = (Number(rowCount) - sentFront) / Math.max(1, here - sentFront);
  const whole =
    sentFront === front
      ? `the whole front (${formatCount(front)})`
      : `${formatCount(sentFront)} of the ${formatCount(front)} rows of the front`;
  return (
    <p class="sample-note">
      A sample of {formatCount(here)} of {formatCounted(rowCount, 'row')}: {front === 0 ? '' : `${whole}, `}every
      extreme and improvement, and one row in{' '}
      {rest < 10 ? rest.toPrecision(2).replace(/\.0$/, '') : formatCount(Math.round(rest))} of the rest.
      {front > 0 && !sample.frontIsExact && ' The front is thinned: not each of its rows was looked for.'}
    </p>
  );
}

function outcomeOf(outcome: Outcome): [Tone, string] {
  switch (outcome) {
    case Outcome.FINISHED:
      return ['ok', 'finished'];
    case Outcome.FAILED:
      return ['error', 'failed'];
    case Outcome.STOPPED:
      return ['warn', 'stopped'];
    case Outcome.UNSPECIFIED:
      return ['plain', 'committed'];
    default:
      return outcome satisfies never;
  }
}
