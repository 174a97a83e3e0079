import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome } from '../../proto/gen/optistore/v1/result_pb.js';
import { compareKeys } from '../text-order.js';
import { nanoseconds } from '../times.js';
import type { Comparison, Field, Filter, Value } from './filter.js';

/** What filters ask of a result. */
export interface Facts {
  readonly key: string;
  readonly problem: string | undefined;
  readonly solver: string | undefined;
  readonly description: string;
  readonly outcome: string;
  readonly uploadId: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly rowCount: number;
  readonly sizeBytes: number;
  readonly revision: number;
  /** Best feasible values, by objective. */
  readonly best: Readonly<Record<string, number>>;
  /** Nanoseconds since 1970. */
  readonly createTime: bigint;
  readonly commitTime: bigint;
  readonly updateTime: bigint;
}

/** What filters ask, of a manifest. */
export function factsOf(manifest: Manifest): Facts {
  const { key, problem, description, uploadId, tags, columns } = manifest;
  const best: Record<string, number> = {};
  for (const column of columns) if (column.best !== undefined) best[column.name] = column.best;
  // A literal without spreads: a hundred thousand of these are looked through several times as fast.
  return {
    key,
    description,
    uploadId,
    tags,
    best,
    problem: problem?.name,
    solver: problem?.solver,
    outcome: Outcome[manifest.outcome],
    rowCount: Number(manifest.rowCount),
    sizeBytes: Number(manifest.sizeBytes),
    revision: Number(manifest.revision),
    createTime: nanoseconds(manifest.createTime),
    commitTime: nanoseconds(manifest.commitTime),
    updateTime: nanoseconds(manifest.updateTime),
  };
}

/** Whether a filter holds for a result. Undefined holds for all. */
export function matches(filter: Filter | undefined, manifest: Manifest): boolean {
  return filter === undefined || holdsFor(filter, factsOf(manifest));
}

/** Whether a filter holds for a result of which these facts are known. */
export function holdsFor(filter: Filter, facts: Facts): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.parts.every((part) => holdsFor(part, facts));
    case 'or':
      return filter.parts.some((part) => holdsFor(part, facts));
    case 'not':
      return !holdsFor(filter.part, facts);
    case 'comparison':
      return holds(filter, valueOf(filter.field, facts));
    default:
      return filter satisfies never;
  }
}

function holds({ operator, value }: Comparison, actual: Value): boolean {
  if (actual === undefined) return false;
  if (operator === 'has') return true;
  if (operator === 'prefix') return typeof actual === 'string' && typeof value === 'string' && actual.startsWith(value);
  if (typeof actual !== typeof value) return false;
  const order = compare(actual, value as typeof actual);
  switch (operator) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    default:
      return operator satisfies never;
  }
}

function compare(a: string | number | bigint, b: string | number | bigint): number {
  if (typeof a === 'string' && typeof b === 'string') return compareKeys(a, b);
  return a === b ? 0 : a < b ? -1 : 1;
}

function valueOf(field: Field, facts: Facts): Value {
  switch (field.name) {
    case 'key':
      return facts.key;
    case 'problem':
      return facts.problem;
    case 'solver':
      return facts.solver;
    case 'description':
      return facts.description;
    case 'state':
      return 'COMMITTED';
    case 'outcome':
      return facts.outcome;
    case 'upload_id':
      return facts.uploadId;
    case 'tag':
      return Object.hasOwn(facts.tags, field.tag) ? facts.tags[field.tag] : undefined;
    case 'row_count':
      return facts.rowCount;
    case 'size_bytes':
      return facts.sizeBytes;
    case 'revision':
      return facts.revision;
    case 'best':
      return Object.hasOwn(facts.best, field.objective) ? facts.best[field.objective] : undefined;
    case 'create_time':
      return facts.createTime;
    case 'commit_time':
      return facts.commitTime;
    case 'update_time':
      return facts.updateTime;
    default:
      return field satisfies never;
  }
}
