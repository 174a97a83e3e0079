import { Direction, VariableRole } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { Result } from '../../../proto/gen/optistore/v1/result_pb.js';
import { formatNumber } from '../parts/format.js';

const SHOWN_MAX = 3;

/** Best feasible value of each objective, the first few of them. */
export function Bests({ result }: { readonly result: Result }) {
  const objectives = (result.problem?.variables ?? []).filter(({ role }) => role === VariableRole.OBJECTIVE);
  if (objectives.length === 0) return <span class="muted">–</span>;
  const bests = new Map(result.columns.map(({ name, best }) => [name, best]));
  const lines = objectives.map(({ name, unit, direction }) => {
    const best = bests.get(name);
    const way = direction === Direction.MAXIMIZE ? 'largest' : 'smallest';
    const told =
      best === undefined ? 'no feasible row has a value' : `${way} feasible value ${best}${unit && ` ${unit}`}`;
    return { name, best, unit, told: `${name}: ${told}` };
  });
  return (
    <span class="bests" title={lines.map(({ told }) => told).join('\n')}>
      {lines.slice(0, SHOWN_MAX).map(({ name, best }) => (
        <span key={name}>
          <span class="name">{name}</span>
          <span class="number">{best === undefined ? '–' : formatNumber(best, 4)}</span>
        </span>
      ))}
      {lines.length > SHOWN_MAX && <span class="muted">+{lines.length - SHOWN_MAX}</span>}
    </span>
  );
}
