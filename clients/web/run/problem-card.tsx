import { Direction, VariableRole, type Variable } from '../../../proto/gen/optistore/v1/problem_pb.js';
import type { ColumnSummary } from '../../../proto/gen/optistore/v1/result_pb.js';
import { formatCount, formatNumber } from '../parts/format.js';
import { roleName } from './run-model.js';
import type { OpenRun } from './use-run.js';

/** What was optimized: each variable with what the problem says of it, and what its column holds. */
export function ProblemCard({ run }: { readonly run: OpenRun }) {
  const { problem, columns, attributes } = run.result.value;
  return (
    <section class="card problem-card" aria-label="Problem">
      <header>
        <h2>{problem?.name === '' ? 'Problem' : problem?.name}</h2>
        {problem?.solver && <p class="muted">{problem.solver}</p>}
        {problem?.description && <p>{problem.description}</p>}
      </header>
      <VariablesTable variables={problem?.variables ?? []} summaries={columns} />
      {attributes && Object.keys(attributes).length > 0 && (
        <>
          <h3>Attributes</h3>
          <pre tabIndex={0}>{JSON.stringify(attributes, undefined, 2)}</pre>
        </>
      )}
    </section>
  );
}

/** The variables of a problem, and what is known of their columns, if anything is. */
export function VariablesTable(props: {
  readonly variables: readonly Variable[];
  readonly summaries: readonly ColumnSummary[];
}) {
  const { variables, summaries } = props;
  const isKnown = summaries.length > 0;
  const found = new Map(summaries.map((summary) => [summary.name, summary]));
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label="Variables of the problem">
      <table class="variables">
        <thead>
          <tr>
            <th>Variable</th>
            <th>Role</th>
            <th>Unit</th>
            <th class="number">Lower bound</th>
            <th class="number">Upper bound</th>
            <th>Aim</th>
            {isKnown &&
              ['Best', 'Min', 'Max', 'Missing'].map((name) => (
                <th key={name} class="number">
                  {name}
                </th>
              ))}
          </tr>
        </thead>
        <tbody>
          {variables.map((variable) => (
            <VariableRow key={variable.name} variable={variable} isKnown={isKnown} summary={found.get(variable.name)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function VariableRow({
  variable,
  isKnown,
  summary,
}: {
  readonly variable: Variable;
  readonly isKnown: boolean;
  readonly summary: ColumnSummary | undefined;
}) {
  const number = (value: number | undefined) => (
    <td class="number">{value === undefined ? '' : formatNumber(value, 6)}</td>
  );
  const missing = Number((summary?.missingCount ?? 0n) + (summary?.nanCount ?? 0n));
  return (
    <tr class={variable.role === VariableRole.OBJECTIVE ? 'objective' : ''}>
      <td>
        <b class="mono">{variable.name}</b>
        {variable.description && <p class="muted">{variable.description}</p>}
      </td>
      <td>{roleName(variable)}</td>
      <td>{variable.unit}</td>
      {number(variable.lowerBound)}
      {number(upperBoundOf(variable))}
      <td>{aimOf(variable)}</td>
      {isKnown && (
        <>
          {number(summary?.best)}
          {number(summary?.min)}
          {number(summary?.max)}
          <td class="number">{missing === 0 ? '' : formatCount(missing)}</td>
        </>
      )}
    </tr>
  );
}

/** An inequality constraint without bounds holds up to 0. */
function upperBoundOf({ role, lowerBound, upperBound }: Variable): number | undefined {
  const isBare = role === VariableRole.INEQUALITY_CONSTRAINT && lowerBound === undefined;
  return upperBound ?? (isBare ? 0 : undefined);
}

function aimOf({ role, direction, ideal, nadir, target, tolerance, categories }: Variable): string {
  if (categories.length > 0) return categories.join(', ');
  if (role === VariableRole.EQUALITY_CONSTRAINT)
    return `${formatNumber(target ?? 0)} ± ${formatNumber(tolerance ?? 1e-6)}`;
  if (role !== VariableRole.OBJECTIVE) return '';
  const known = [
    ideal === undefined ? '' : `ideal ${formatNumber(ideal)}`,
    nadir === undefined ? '' : `nadir ${formatNumber(nadir)}`,
  ].filter((text) => text !== '');
  return [direction === Direction.MAXIMIZE ? '↑ maximize' : '↓ minimize', ...known].join(', ');
}
