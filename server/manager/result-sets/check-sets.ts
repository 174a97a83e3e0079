import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import type { ResultSet } from '../../../proto/gen/optistore/v1/result_pb.js';
import { ResultSetSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import { encodedBytes } from '../../messages/encode.js';
import { StorageError } from '../../errors.js';
import {
  RESULT_SET_COUNT_MAX,
  RESULT_SET_CREATOR_BYTES_MAX,
  RESULT_SET_DESCRIPTION_BYTES_MAX,
  RESULT_SET_NAME_BYTES_MAX,
  RESULT_SET_ROWS_BYTES_MAX,
  RESULT_SET_TEXT_BYTES_MAX,
} from '../../limits.js';
import { readRowNumbers } from '../../rows/row-numbers/read-form.js';
import type { RunSource } from '../../rows/row-numbers/runs.js';
import {
  measureForms,
  rowNumbersBytes,
  smallestBytes,
  writeRowNumbers,
  type StoredRows,
} from '../../rows/row-numbers/write-form.js';
import { hasControl } from '../validate.js';

/**
 * Takes the sets that come with a commit: checked against the rows that the result will have, their rows in the smallest
 * form, in order of name. RESULT_SET_INVALID, TOO_MANY_RESULT_SETS.
 */
export function checkNewResultSets(sets: readonly ResultSet[], rowCount: number): ResultSet[] {
  if (new Set(sets.map((set) => set.name)).size !== sets.length) {
    const twice = sets.find((set, i) => sets.findIndex(({ name }) => name === set.name) !== i);
    throw badSet(`two sets have the name ${shown(twice?.name ?? '')}; each needs its own`);
  }
  const createTime = timestampNow();
  const taken = sets.map((set) => {
    const { name, createdBy, description } = set;
    checkSetText(set);
    const stored = storeRows(name, () => readRowNumbers(set.rows, rowCount));
    const row = { rows: stored.rows, rowCount: BigInt(stored.rowCount) };
    return create(ResultSetSchema, { name, createdBy, description, createTime, ...row });
  });
  return checkTotals(taken.sort(byName));
}

/** Refuses a name, creator or description that breaks the rules at ResultSet: RESULT_SET_INVALID. */
export function checkSetText(set: Pick<ResultSet, 'name' | 'createdBy' | 'description'>): void {
  const { name, createdBy, description } = set;
  if (name === '') throw badSet('it has no name');
  if (bytesOf(name) > RESULT_SET_NAME_BYTES_MAX || hasControl(name) || !name.isWellFormed())
    throw badSet(`the name ${shown(name)} is not 1 to ${RESULT_SET_NAME_BYTES_MAX} bytes of text`);
  if (bytesOf(createdBy) > RESULT_SET_CREATOR_BYTES_MAX)
    throw badSet(`created_by of ${shown(name)} is over ${RESULT_SET_CREATOR_BYTES_MAX} bytes`);
  if (bytesOf(description) > RESULT_SET_DESCRIPTION_BYTES_MAX)
    throw badSet(`the description of ${shown(name)} is over ${RESULT_SET_DESCRIPTION_BYTES_MAX} bytes`);
}

/** Writes a set's rows in their smallest form; measured before any memory is taken. TOO_MANY_RESULT_SETS. */
export function storeRows(name: string, source: RunSource): StoredRows {
  const sizes = measureForms(source());
  if (smallestBytes(sizes) > RESULT_SET_ROWS_BYTES_MAX)
    throw tooMany(`the rows of ${shown(name)} alone take ${smallestBytes(sizes)} bytes`);
  return writeRowNumbers(source, sizes);
}

/** Refuses more sets than a result may have, or larger ones: TOO_MANY_RESULT_SETS. */
export function checkTotals(sets: ResultSet[]): ResultSet[] {
  if (sets.length > RESULT_SET_COUNT_MAX) throw tooMany(`there would be ${sets.length}`);
  let rowsBytes = 0;
  let textBytes = 0;
  for (const set of sets) {
    rowsBytes += rowNumbersBytes(set.rows);
    textBytes += encodedBytes(ResultSetSchema, withoutRows(set));
  }
  if (rowsBytes > RESULT_SET_ROWS_BYTES_MAX) throw tooMany(`their row numbers would take ${rowsBytes} bytes`);
  if (textBytes > RESULT_SET_TEXT_BYTES_MAX)
    throw tooMany(`their names, parents and descriptions would take ${textBytes} bytes`);
  return sets;
}

/** A set as lists show it. */
export function withoutRows(set: ResultSet): ResultSet {
  const bare = { ...set };
  delete bare.rows;
  return bare;
}

/** Sets are in the order of their names' UTF-8 bytes. */
export function byName(a: ResultSet, b: ResultSet): number {
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
}

/** The error for a set that is wrong. */
export function badSet(what: string): StorageError {
  return new StorageError('RESULT_SET_INVALID', `The result set can't be taken: ${what}.`);
}

function tooMany(what: string): StorageError {
  return new StorageError(
    'TOO_MANY_RESULT_SETS',
    `A result has at most ${RESULT_SET_COUNT_MAX} sets, ${RESULT_SET_ROWS_BYTES_MAX} bytes of their row numbers and ` +
      `${RESULT_SET_TEXT_BYTES_MAX} bytes of what is said about them, but ${what}. Delete some that are no longer needed.`,
  );
}

const bytesOf = (text: string) => Buffer.byteLength(text, 'utf8');
const shown = (name: string) => JSON.stringify(name.slice(0, 80));
