import { useComputed, useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import {
  Backend,
  ReplicationState,
  ResultView,
  type Placement,
  type Result,
} from '../../../proto/gen/optistore/v1/result_pb.js';
import { daemon } from '../connection/daemon.js';
import { Badge, type Tone } from '../parts/badge.js';
import { operations } from '../status/operations.js';

type Words = readonly [tone: Tone, text: string, title: string];

const REPLICATIONS: Readonly<Record<ReplicationState, Words>> = {
  [ReplicationState.UNSPECIFIED]: ['plain', 'unknown', 'The daemon did not say.'],
  [ReplicationState.NONE]: ['plain', 'no copy', 'Nobody asked for a copy in the secondary.'],
  [ReplicationState.PENDING]: ['warn', 'pending', 'It will be copied to the secondary.'],
  [ReplicationState.DONE]: ['ok', 'copied', 'The secondary has this revision.'],
  [ReplicationState.FAILED]: ['error', 'failed', 'It can’t be copied as it is: Status says why.'],
};
const MOVED: Words = ['accent', 'moved', 'It is in the secondary alone: the primary has no copy, or can’t be asked.'];
const CACHED: Words = ['plain', 'no copy', 'It is in the cache alone, and gone with the daemon.'];

/** Whether the secondary has a result. */
export function Secondary({ result }: { readonly result: Result }) {
  const [tone, text, title] = wordsOf(result, usePlacements(result));
  return (
    <Badge tone={tone} title={title}>
      {text}
    </Badge>
  );
}

/** Where copies are of a result that no copy was asked for: it may have been moved or copied by hand, which lists do not tell. */
function usePlacements({ key, revision, replication }: Result): readonly Placement[] {
  const placements = useSignal<readonly Placement[]>([]);
  const ended = useComputed(() => operations.value.filter(({ state }) => state.value !== 'running').length);
  useEffect(() => {
    if (replication !== ReplicationState.NONE) return undefined;
    const leaving = new AbortController();
    daemon.getResult({ key, view: ResultView.FULL }, { signal: leaving.signal }).then(
      ({ result }) => (placements.value = result?.placements ?? []),
      // What is not known is not told: a connection that is lost is told elsewhere.
      () => undefined,
    );
    return () => leaving.abort();
  }, [key, revision, replication, ended.value]);
  return placements.value;
}

function wordsOf({ replication, revision }: Result, placements: readonly Placement[]): Words {
  const inOf = (backend: Backend) => placements.find((placement) => placement.backend === backend);
  const [primary, secondary] = [inOf(Backend.PRIMARY), inOf(Backend.SECONDARY)];
  if (replication !== ReplicationState.NONE || placements.length === 0) return REPLICATIONS[replication];
  if (secondary === undefined) return primary === undefined ? CACHED : REPLICATIONS[ReplicationState.NONE];
  if (primary === undefined) return MOVED;
  if (secondary.revision >= revision) return REPLICATIONS[ReplicationState.DONE];
  return ['warn', 'older', `The secondary has revision ${secondary.revision}; nobody asked for a copy of this one.`];
}
