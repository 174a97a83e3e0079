import { Backend, Direction, Outcome, ValueType, VariableRole, type Result } from '../typescript/index.js';
import type { Variable } from '../../proto/gen/optistore/v1/problem_pb.js';
import { counted, megabytes, timeOf } from './words.js';

/** What is known of a result, as lines for people. */
export function shownResult(result: Result): string[] {
  const { key, revision, rowCount, sizeBytes, commitTime, problem, outcome, description, tags } = result;
  const copies = result.placements.map((one) => `${Backend[one.backend].toLowerCase()} (revision ${one.revision})`);
  return [
    `${key}  revision ${revision}, ${counted(rowCount, 'row')}, ${megabytes(sizeBytes)}, committed ${timeOf(commitTime)}`,
    `problem: ${problem?.name ?? ''}   solver: ${problem?.solver ?? ''}`,
    ...(outcome === Outcome.UNSPECIFIED ? [] : [`outcome: ${Outcome[outcome].toLowerCase()}`]),
    ...(description === '' ? [] : [`description: ${description}`]),
    ...Object.entries(tags).map(([name, value]) => `tag: ${name}=${value}`),
    `stores: ${copies.join(', ')}`,
    ...result.resultSets.map((set) => `set: ${set.name}, ${counted(set.rowCount, 'row')}`),
    ...(problem?.variables ?? []).map((variable, i) => shownVariable(variable, result.columns[i])),
  ];
}

function shownVariable(variable: Variable, column: Result['columns'][number] | undefined): string {
  const { name, valueType, unit } = variable;
  const range = column?.min === undefined ? '' : `${column.min} … ${column.max}`;
  const facts = [
    column?.missingCount ? `${column.missingCount} missing` : '',
    column?.best === undefined ? '' : `best ${column.best}`,
    allowed(variable),
  ].filter((fact) => fact !== '');
  return [`  ${name}`, roleOf(variable), ValueType[valueType].toLowerCase(), unit, range, facts.join(', ')].join('\t');
}

function roleOf({ role, direction }: Variable): string {
  const name = VariableRole[role].toLowerCase().replaceAll('_', ' ');
  if (direction === Direction.UNSPECIFIED) return name;
  return `${name}, ${direction === Direction.MAXIMIZE ? 'maximized' : 'minimized'}`;
}

/** Which values a variable may have, with the contract's defaults of constraints. */
function allowed({ role, lowerBound: low, upperBound: high, target, tolerance }: Variable): string {
  if (role === VariableRole.EQUALITY_CONSTRAINT) return `holds at ${target ?? 0} ± ${tolerance ?? 1e-6}`;
  const verb = role === VariableRole.INEQUALITY_CONSTRAINT ? 'holds' : 'allowed';
  if (low !== undefined && high !== undefined) return `${verb} from ${low} to ${high}`;
  if (low !== undefined) return `${verb} from ${low} on`;
  if (high !== undefined) return `${verb} to ${high}`;
  return role === VariableRole.INEQUALITY_CONSTRAINT ? 'holds to 0' : '';
}
