import { timestampDate, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  BackendState,
  Scope,
  type BackendStatus,
  type GetStatusResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { Backend } from '../../typescript/index.js';
import { counted, megabytes } from '../words.js';
import { failed, ok, warning, type Finding } from './finding.js';

/** Copies to the secondary that are so late are told. */
const LAG_MS_MAX = 10 * 60_000;
/** Clocks that are further apart make times of results misleading. */
const CLOCK_MS_MAX = 5_000;

/** An answer of a daemon, and when it was asked for and came. */
export interface Answered {
  readonly status: GetStatusResponse;
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** What a daemon's own word on itself says. */
export function checkStatus(answered: Answered, version: string, hasToken: boolean): Finding[] {
  const { status } = answered;
  return [
    checkVersions(status, version),
    checkClock(answered),
    checkToken(status, hasToken),
    ...status.backends.map(checkStore),
    ...checkReplication(status, answered.answeredMs),
    ...checkScrub(status),
    ...checkCache(status),
  ];
}

function checkVersions(status: GetStatusResponse, version: string): Finding {
  const found = `command ${version}, daemon ${status.version}, Node ${process.versions.node}`;
  if (status.version === version) return ok('versions', found);
  return warning('versions', found, 'Install the same version of both; what only one of them knows will be missing.');
}

/** Half the round trip is what can't be known. */
function checkClock({ status, askedMs, answeredMs }: Answered): Finding {
  const middle = (askedMs + answeredMs) / 2;
  const advice = 'Set the clocks by NTP, such as `timedatectl set-ntp true`: times of results are the daemon’s.';
  if (status.time === undefined) {
    const startMs = status.startTime === undefined ? 0 : timestampMs(status.startTime);
    return startMs > answeredMs + CLOCK_MS_MAX
      ? failed('clock', `the daemon started at ${new Date(startMs).toISOString()}, which is still to come here`, advice)
      : ok('clock', 'the daemon does not tell its time; it did not start in the future');
  }
  const difference = timestampMs(status.time) - middle;
  const found = `the daemon’s is ${(Math.abs(difference) / 1000).toFixed(1)} s ${difference < 0 ? 'behind' : 'ahead'}`;
  return Math.abs(difference) > CLOCK_MS_MAX ? warning('clock', found, advice) : ok('clock', found);
}

function checkToken({ caller }: GetStatusResponse, hasToken: boolean): Finding {
  if (caller === undefined)
    return hasToken
      ? warning(
          'token',
          'one is given, and the daemon asks for none: everybody who reaches it may do everything',
          'Give the daemon its file: --tokens, OPTISTORE_TOKENS or `tokens` in optistore.yaml (docs/security.md).',
        )
      : ok('token', 'none is asked for: everything is allowed');
  const { name, scope, prefix } = caller;
  const keys = prefix === '' ? 'all keys' : `keys under ${prefix}`;
  return ok('token', `${name}: ${Scope[scope].toLowerCase()}, ${keys}`);
}

function checkStore(store: BackendStatus): Finding {
  const check = Backend[store.role].toLowerCase();
  const found = `${store.type}, ${counted(store.resultCount, 'result')}, ${megabytes(store.sizeBytes)}`;
  if (store.state === BackendState.READY) return ok(check, found);
  const advice = 'What it says is to be done at the daemon; its log has more. Then restart it.';
  return failed(check, `${found}: ${store.message === '' ? 'does not work' : store.message}`, advice);
}

function checkReplication({ replication, fallback }: GetStatusResponse, nowMs: number): Finding[] {
  if (replication === undefined) return [];
  const { pendingCount, oldestPendingTime, failureCount, lastFailure } = replication;
  const lagMs = oldestPendingTime === undefined ? 0 : Math.max(nowMs - timestampMs(oldestPendingTime), 0);
  const lag = pendingCount === 0n ? 'nothing waits' : `${pendingCount} wait, the oldest for ${seconds(lagMs)}`;
  const found =
    lastFailure === '' ? lag : `${lag}; ${counted(failureCount, 'attempt')} failed, the last: ${lastFailure}`;
  const isBehind = lagMs > LAG_MS_MAX || (pendingCount > 0n && lastFailure !== '');
  const advice = 'See that the secondary can be reached and has room; copying is tried again by itself.';
  const copies = isBehind ? warning('replication', found, advice) : ok('replication', found);
  if (fallback?.circuitOpen !== true) return [copies];
  return [
    copies,
    failed(
      'fallback',
      `the primary failed so often that the secondary answers (${fallback.fallbackCount} calls so far)`,
      'Repair the primary, then run `optistore verify --repair`.',
    ),
  ];
}

function checkScrub({ scrub }: GetStatusResponse): Finding[] {
  if (scrub === undefined) return [ok('scrub', 'off; `optistore verify` reads everything again when you want it to')];
  const { checkedCount, corruptCount, repairedCount, lastFailure, lastEndTime } = scrub;
  const last =
    lastEndTime === undefined
      ? 'no pass is complete yet'
      : `complete at ${timestampDate(lastEndTime).toISOString().slice(0, 19)}`;
  const found = `${last}, ${counted(checkedCount, 'copy', 'copies')} checked, ${corruptCount} corrupt or missing, ${repairedCount} repaired`;
  if (corruptCount > repairedCount)
    return [
      failed(
        'scrub',
        found,
        'Run `optistore verify --repair`; without a secondary, restore what it names from a backup.',
      ),
    ];
  if (lastFailure === '') return [ok('scrub', found)];
  return [warning('scrub', `${found}; the last pass did not end: ${lastFailure}`, 'Another begins by itself.')];
}

function checkCache({ cache }: GetStatusResponse): Finding[] {
  if (cache === undefined || cache.errorCount === 0n) return [];
  return [
    warning(
      'cache failures',
      counted(cache.errorCount, 'failure'),
      'Each was a miss to the caller; the daemon’s log says why.',
    ),
  ];
}

function seconds(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}
