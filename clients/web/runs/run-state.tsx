import { Outcome, type Result } from '../../../proto/gen/optistore/v1/result_pb.js';
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
