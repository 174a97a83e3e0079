import type { ComponentChildren } from 'preact';
import {
  BackendState,
  type BackendStatus,
  type CacheStatus,
  type FallbackStatus,
  type ReplicationStatus,
  type ScrubStatus,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { Badge, type Tone } from '../parts/badge.js';
import { nowMs } from '../parts/clock.js';
import { formatBytes, formatCount, formatDuration, formatShare, msOf } from '../parts/format.js';
import { KeyValue } from '../parts/key-value.js';
import { Sparkline } from '../parts/sparkline.js';
import { RelativeTime } from '../parts/time.js';
import { BACKEND_NAMES } from './actions.js';
import { hitRateOf } from './history.js';

/** A part of the daemon: its name, its state in a word, and what is to be known of it. */
function Card({
  title,
  about,
  state,
  children,
}: {
  readonly title: string;
  readonly about?: string;
  readonly state?: readonly [tone: Tone, text: string];
  readonly children: ComponentChildren;
}) {
  return (
    <section class="status-card card" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {about !== undefined && <span class="muted">{about}</span>}
        {state && <Badge tone={state[0]}>{state[1]}</Badge>}
      </header>
      {children}
    </section>
  );
}

/** What went wrong, in the daemon's words. */
function Failure({ text }: { readonly text: string }) {
  return text === '' ? null : <p class="failure">{text}</p>;
}

/** A figure that is looked at first. */
function Figure({ value, name }: { readonly value: string; readonly name: string }) {
  return (
    <p class="figure">
      <span class="number">{value}</span> <span class="muted">{name}</span>
    </p>
  );
}

function stateOf({ state }: BackendStatus): readonly [tone: Tone, text: string] {
  return state === BackendState.READY ? ['ok', 'ready'] : ['error', 'failed'];
}

/** What went on while the page looked. */
function Chart({ children }: { readonly children: ComponentChildren }) {
  return (
    <figure class="chart">
      {children}
      <figcaption class="muted">
        <span>2 min ago</span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

/** A store. */
export function StoreCard({ store }: { readonly store: BackendStatus }) {
  const { role, type, message, sizeBytes, resultCount } = store;
  const name = BACKEND_NAMES[role];
  return (
    <Card title={`${name.slice(0, 1).toUpperCase()}${name.slice(1)}`} about={type} state={stateOf(store)}>
      <div class="figures">
        <Figure value={formatCount(resultCount)} name={resultCount === 1n ? 'result' : 'results'} />
        <Figure value={formatBytes(sizeBytes)} name="of rows" />
      </div>
      <Failure text={message} />
    </Card>
  );
}

/** The cache, and how well it does. */
export function CacheCard({
  cache,
  store,
  hitRates,
}: {
  readonly cache: CacheStatus;
  /** What it says as a store: it also holds results of its own. */
  readonly store: BackendStatus | undefined;
  readonly hitRates: readonly number[];
}) {
  const { hitCount, missCount, evictionCount, tooLargeCount, errorCount, sizeBytes, limitBytes } = cache;
  const rate = hitRateOf(cache);
  return (
    <Card title="Cache" about="in memory" {...(store && { state: stateOf(store) })}>
      <Figure value={rate === undefined ? '–' : formatShare(rate)} name="of the loads answered" />
      <Chart>
        <Sparkline values={hitRates} top={1} label="Hit rate over the last two minutes, from 0 to 100 %" />
      </Chart>
      <div class="filled">
        <meter aria-label="Cache size" min={0} max={Number(limitBytes)} value={Number(sizeBytes)} />
        <span class="number">
          {formatBytes(sizeBytes)} <span class="muted">of {formatBytes(limitBytes)}</span>
        </span>
      </div>
      <KeyValue
        isList
        items={[
          ['Hits', formatCount(hitCount)],
          ['Misses', formatCount(missCount)],
          ['Evicted', formatCount(evictionCount)],
          ['Too large', formatCount(tooLargeCount)],
          store && ['Results of its own', formatCount(store.resultCount)],
          errorCount > 0n ? ['Errors', formatCount(errorCount)] : undefined,
        ]}
      />
      <Failure text={store?.message ?? ''} />
    </Card>
  );
}

/** Copying to the secondary. */
export function ReplicationCard({
  replication: { pendingCount, oldestPendingTime, copiedCount, failureCount, lastFailure },
  pendingCounts,
}: {
  readonly replication: ReplicationStatus;
  readonly pendingCounts: readonly number[];
}) {
  const oldestMs = msOf(oldestPendingTime);
  const state = lastFailure !== '' ? 'error' : pendingCount > 0n ? 'warn' : 'ok';
  const text = { error: 'failing', warn: 'catching up', ok: 'up to date' }[state];
  return (
    <Card title="Replication" state={[state, text]}>
      <Figure value={formatCount(pendingCount)} name="pending" />
      <Chart>
        <Sparkline values={pendingCounts} label="Pending copies over the last two minutes" />
      </Chart>
      <KeyValue
        isList
        items={[
          ['Lag', oldestMs === undefined ? 'none' : formatDuration(nowMs.value - oldestMs)],
          ['Copied', formatCount(copiedCount)],
          ['Failed attempts', formatCount(failureCount)],
        ]}
      />
      <Failure text={lastFailure} />
    </Card>
  );
}

/** How often the secondary stood in for the primary. */
export function FallbackCard({
  fallback: { fallbackCount, continuedCount, repairedCount, repairFailureCount, circuitOpen },
}: {
  readonly fallback: FallbackStatus;
}) {
  return (
    <Card title="Fallback" state={circuitOpen ? ['error', 'secondary serves'] : ['ok', 'primary serves']}>
      <Figure value={formatCount(fallbackCount)} name="calls answered by the secondary" />
      <KeyValue
        isList
        items={[
          ['Loads it went on with', formatCount(continuedCount)],
          ['Repaired', formatCount(repairedCount)],
          ['Repairs failed', formatCount(repairFailureCount)],
        ]}
      />
    </Card>
  );
}

/** The check that runs by itself. */
export function ScrubCard({
  scrub: { lastStartTime, lastEndTime, checkedCount, corruptCount, repairedCount, lastFailure },
}: {
  readonly scrub: ScrubStatus;
}) {
  const isFine = corruptCount === repairedCount && lastFailure === '';
  const state: readonly [Tone, string] = isFine
    ? [lastEndTime === undefined ? 'plain' : 'ok', lastEndTime === undefined ? 'first pass to come' : 'all checks']
    : ['error', 'look here'];
  return (
    <Card title="Scrub" state={state}>
      <Figure value={formatCount(checkedCount)} name={checkedCount === 1n ? 'copy checked' : 'copies checked'} />
      <KeyValue
        isList
        items={[
          ['Last pass began', <RelativeTime at={lastStartTime} />],
          ['Ended', <RelativeTime at={lastEndTime} />],
          ['Corrupt or missing', formatCount(corruptCount)],
          ['Repaired', formatCount(repairedCount)],
        ]}
      />
      <Failure text={lastFailure} />
    </Card>
  );
}
