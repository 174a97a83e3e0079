import { Outcome, ReplicationState, type Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { Badge, type Tone } from '../parts/badge.js';

const OUTCOMES: Readonly<Record<Outcome, readonly [tone: Tone, text: string, title: string]>> = {
  [Outcome.UNSPECIFIED]: ['plain', 'committed', 'The solver did not say how it ended.'],
  [Outcome.FINISHED]: ['ok', 'finished', 'The solver came to its end.'],
  [Outcome.FAILED]: ['error', 'failed', 'The solver broke; the rows are what it had.'],
  [Outcome.STOPPED]: ['warn', 'stopped', 'Someone stopped it.'],
};

/** How the run ended. */
export function OutcomeBadge({ outcome }: Pick<Result, 'outcome'>) {
  const [tone, text, title] = OUTCOMES[outcome];
  return (
    <Badge tone={tone} title={title}>
      {text}
    </Badge>
  );
}

const REPLICATIONS: Readonly<Record<ReplicationState, readonly [tone: Tone, text: string, title: string]>> = {
  [ReplicationState.UNSPECIFIED]: ['plain', 'unknown', 'The daemon did not say.'],
  [ReplicationState.NONE]: ['plain', 'not asked', 'It is in one store; nobody asked for a copy.'],
  [ReplicationState.PENDING]: ['warn', 'pending', 'It will be copied to the secondary.'],
  [ReplicationState.DONE]: ['ok', 'copied', 'The secondary has this revision.'],
  [ReplicationState.FAILED]: ['error', 'failed', 'It can’t be copied as it is: Status says why.'],
};

/** Whether the secondary has it. */
export function ReplicationBadge({ replication }: Pick<Result, 'replication'>) {
  const [tone, text, title] = REPLICATIONS[replication];
  return (
    <Badge tone={tone} title={title}>
      {text}
    </Badge>
  );
}
