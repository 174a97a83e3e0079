import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Outcome } from '../../proto/gen/optistore/v1/result_pb.js';
import { compareKeys } from '../text-order.js';
import { nanoseconds } from '../times.js';
import type { Comparison, Field, Filter, Value } from './filter.js';

/** Whether a filter holds for a result. Undefined holds for all. */
export function matches(filter: Filter | undefined, manifest: Manifest): boolean {
  if (filter === undefined) return true;
  switch (filter.kind) {
    case 'and':
      return filter.parts.every((part) => matches(part, manifest));
    case 'or':
      return filter.parts.some((part) => matches(part, manifest));
    case 'not':
      return !matches(filter.part, manifest);
    case 'comparison':
      return holds(filter, valueOf(filter.field, manifest));
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

function valueOf(field: Field, manifest: Manifest): Value {
  switch (field.name) {
    case 'key':
      return manifest.key;
    case 'problem':
      return manifest.problem?.name;
    case 'solver':
      return manifest.problem?.solver;
    case 'description':
      return manifest.description;
    case 'state':
      return 'COMMITTED';
    case 'outcome':
      return Outcome[manifest.outcome];
    case 'upload_id':
      return manifest.uploadId;
    case 'tag':
      return Object.hasOwn(manifest.tags, field.tag) ? manifest.tags[field.tag] : undefined;
    case 'row_count':
      return Number(manifest.rowCount);
    case 'size_bytes':
      return Number(manifest.sizeBytes);
    case 'revision':
      return Number(manifest.revision);
    case 'best':
      return manifest.columns.find(({ name }) => name === field.objective)?.best;
    case 'create_time':
      return nanoseconds(manifest.createTime);
    case 'commit_time':
      return nanoseconds(manifest.commitTime);
    case 'update_time':
      return nanoseconds(manifest.updateTime);
    default:
      return field satisfies never;
  }
}
