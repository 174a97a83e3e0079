import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { Backend } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Scope, type GetStatusResponse } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { explain, isAborted } from '../connection/errors.js';
import { refreshStatus, status, whyNot, whyNotSecondary } from '../connection/status.js';
import { pause } from '../connection/wait.js';
import { Button } from '../parts/button.js';
import { nowMs } from '../parts/clock.js';
import { formatCount, formatDuration, msOf } from '../parts/format.js';
import { ErrorState, Loading } from '../parts/states.js';
import { CacheCard, FallbackCard, ReplicationCard, ScrubCard, StoreCard } from './cards.js';
import { MigrateStoreDialog, ReplicateDialog, VerifyDialog } from './dialogs.js';
import { StatusHistory } from './history.js';
import { MigrateDialog } from './migrate-dialog.js';
import { OperationsPanel } from './operations-panel.js';
import './status.css';

const REFRESH_EACH_MS = 2000;

/** How the daemon and its stores are, and what can be done with them. */
export function StatusView() {
  const failure = useStatus();
  const history = useMemo(() => new StatusHistory(), []);
  const told = status.value;
  if (told === undefined) {
    if (failure === undefined) return <Loading label="Loading the status" />;
    return <ErrorState title="The status could not be got" message={failure} />;
  }
  history.take(told);
  const cacheStore = told.backends.find(({ role }) => role === Backend.CACHE);
  const stores = told.backends.filter((store) => store !== cacheStore);
  const { cache, replication, fallback, scrub } = told;
  return (
    <div class="status">
      <header>
        <h1>Status</h1>
        <DaemonFacts told={told} />
        <Actions />
      </header>
      <OperationsPanel />
      <div class="cards">
        {stores.map((store) => (
          <StoreCard key={store.role} store={store} />
        ))}
        {cache && <CacheCard cache={cache} store={cacheStore} hitRates={history.hitRates()} />}
        {replication && <ReplicationCard replication={replication} pendingCounts={history.pendingCounts()} />}
        {fallback && <FallbackCard fallback={fallback} />}
        {scrub && <ScrubCard scrub={scrub} />}
      </div>
    </div>
  );
}

/** Asks again and again while the page is looked at; gives why the last try failed. */
function useStatus(): string | undefined {
  const failure = useSignal<string | undefined>(undefined);
  useEffect(() => {
    const stopping = new AbortController();
    const { signal } = stopping;
    const refresh = async () => {
      while (!signal.aborted) {
        try {
          if (document.visibilityState === 'visible') await refreshStatus(signal);
          failure.value = undefined;
        } catch (error) {
          if (!isAborted(error)) failure.value = explain(error).message;
        }
        await pause(REFRESH_EACH_MS, signal);
      }
    };
    void refresh();
    return () => stopping.abort();
  }, []);
  return failure.value;
}

function DaemonFacts({ told: { startTime, uploadCount, streamCount, version } }: { readonly told: GetStatusResponse }) {
  const startMs = msOf(startTime);
  return (
    <p class="facts muted number">
      <span>version {version}</span>
      {startMs !== undefined && <span>up {formatDuration(nowMs.value - startMs)}</span>}
      <span>{formatCount(uploadCount)} saves in progress</span>
      <span>{formatCount(streamCount)} streams</span>
    </p>
  );
}

const DIALOGS = { verify: VerifyDialog, replicate: ReplicateDialog, migrate: MigrateDialog, store: MigrateStoreDialog };

function Actions() {
  const open = useSignal<keyof typeof DIALOGS | undefined>(undefined);
  const Shown = open.value === undefined ? undefined : DIALOGS[open.value];
  const mayNot = whyNot(Scope.ADMIN);
  return (
    <div class="actions">
      <Button icon="shield" whyNot={mayNot} onClick={() => (open.value = 'verify')}>
        Verify…
      </Button>
      <Button icon="copy" whyNot={mayNot ?? whyNotSecondary()} onClick={() => (open.value = 'replicate')}>
        Replicate…
      </Button>
      <Button icon="move" whyNot={whyNot(Scope.WRITE) ?? whyNotSecondary()} onClick={() => (open.value = 'migrate')}>
        Migrate…
      </Button>
      <Button icon="move" whyNot={whyNot(Scope.ADMIN, '') ?? whyNotSecondary()} onClick={() => (open.value = 'store')}>
        Migrate the store…
      </Button>
      {Shown && <Shown onClose={() => (open.value = undefined)} />}
    </div>
  );
}
