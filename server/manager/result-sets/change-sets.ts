import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ResultSet } from '../../../proto/gen/optistore/v1/result_pb.js';
import { ResultSetSchema, SetOperation } from '../../../proto/gen/optistore/v1/result_pb.js';
import type { RowNumbers } from '../../../proto/gen/optistore/v1/rows_pb.js';
import { StorageError } from '../../errors.js';
import { RESULT_SET_COUNT_MAX } from '../../limits.js';
import { readRowNumbers } from '../../rows/row-numbers/read-form.js';
import type { RunSource } from '../../rows/row-numbers/runs.js';
import { difference, intersection, union } from '../../rows/row-numbers/set-operations.js';
import { badSet, byName, checkSetText, checkTotals, storeRows } from './check-sets.js';

/** What a set is to be made of: see PutResultSetRequest. */
export interface NewSet {
  readonly name: string;
  /** Without an operation. */
  readonly rows: RowNumbers | undefined;
  readonly operation: SetOperation;
  readonly parents: readonly string[];
  readonly createdBy: string;
  readonly description: string;
}

/** The error for a set that a result has not. */
export function setNotFound(manifest: Manifest, name: string): StorageError {
  const names = manifest.resultSets.slice(0, 20).map((set) => set.name);
  const has = names.length === 0 ? 'no sets' : `${names.join(', ')}${manifest.resultSets.length > 20 ? ', …' : ''}`;
  return new StorageError(
    'RESULT_SET_NOT_FOUND',
    `"${manifest.key}" has no result set ${JSON.stringify(name.slice(0, 80))}. It has ${has}.`,
  );
}

/** A set of a result by its name. RESULT_SET_NOT_FOUND. */
export function setNamed(manifest: Manifest, name: string): ResultSet {
  const found = manifest.resultSets.find((set) => set.name === name);
  if (found === undefined) throw setNotFound(manifest, name);
  return found;
}

/** A set's rows, as often as they are needed. */
export function rowsOfSet(manifest: Manifest, name: string): RunSource {
  const { rows } = setNamed(manifest, name);
  const rowCount = Number(manifest.rowCount);
  return () => readRowNumbers(rows, rowCount);
}

/** Refuses what no result could take, before one is looked for: RESULT_SET_INVALID. */
export function checkNewSet(set: NewSet): void {
  checkSetText(set);
  const { operation, parents, rows } = set;
  if (operation === SetOperation.UNSPECIFIED) {
    if (parents.length > 0) throw badSet('it names parents, but no operation: union, intersection or difference');
    return;
  }
  if (SetOperation[operation] === undefined) throw badSet(`its operation is ${operation}, which is not known`);
  if (rows !== undefined) throw badSet('it has both rows and an operation; one of them makes a set');
  if (parents.length < 2) throw badSet(`an operation takes two parents or more, not ${parents.length}`);
  if (parents.length > RESULT_SET_COUNT_MAX || new Set(parents).size !== parents.length)
    throw badSet('it names a parent twice');
}

/** Makes or replaces a set. RESULT_SET_NOT_FOUND, RESULT_SET_INVALID, TOO_MANY_RESULT_SETS. */
export function putSet(manifest: Manifest, set: NewSet): void {
  const { name, operation, createdBy, description } = set;
  const parents = [...set.parents];
  const { rows, rowCount } = storeRows(name, sourceOf(manifest, set));
  const others = manifest.resultSets.filter((other) => other.name !== name);
  const made = create(ResultSetSchema, {
    ...{ name, operation, parents, createdBy, description, rows },
    rowCount: BigInt(rowCount),
    createTime: timestampNow(),
  });
  manifest.resultSets = checkTotals([...others, made].sort(byName));
}

function sourceOf(manifest: Manifest, { rows, operation, parents }: NewSet): RunSource {
  const [first, ...others] = parents.map((name) => rowsOfSet(manifest, name));
  if (first === undefined) return () => readRowNumbers(rows, Number(manifest.rowCount));
  switch (operation) {
    case SetOperation.UNION:
      return union([first, ...others]);
    case SetOperation.INTERSECTION:
      return intersection([first, ...others]);
    case SetOperation.DIFFERENCE:
      return difference([first, ...others]);
    case SetOperation.UNSPECIFIED:
      throw new RangeError('a checked set with parents has an operation');
    default:
      return operation satisfies never;
  }
}

/** Removes a set. RESULT_SET_NOT_FOUND. */
export function removeSet(manifest: Manifest, name: string): void {
  const { name: found } = setNamed(manifest, name);
  manifest.resultSets = manifest.resultSets.filter((set) => set.name !== found);
}
