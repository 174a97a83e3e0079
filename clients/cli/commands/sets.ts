import { userInfo } from 'node:os';
import { toJson } from '@bufbuild/protobuf';
import { ResultSetSchema, SetOperation, type ResultSet, type SetContent } from '../../typescript/index.js';
import { ResultSchema } from '../../../proto/gen/optistore/v1/result_pb.js';
import { connect } from '../connect.js';
import { print, printJson, printMessage } from '../stdout.js';
import { counted, timeOf } from '../words.js';
import type { CommonFlags } from './catalogue.js';

/** A run of rows; the end is not in it. */
export type RowRun = readonly [first: number, end: number];

/** Flags of `optistore set`. */
export interface SetFlags extends CommonFlags {
  readonly rows?: RowRun[];
  readonly union?: string[];
  readonly intersection?: string[];
  readonly difference?: string[];
  readonly description?: string;
  readonly delete?: boolean;
  readonly expectedRevision?: bigint;
}

/** Reads `0:100,205,300:310`, in any order; undefined where it is something else. Runs that overlap are one. */
export function parseRows(text: string): RowRun[] | undefined {
  const runs: [number, number][] = [];
  for (const part of text.split(',')) {
    const match = /^(\d+)(?::(\d+))?$/.exec(part.trim());
    if (match === null) return undefined;
    const first = Number(match[1]);
    const end = match[2] === undefined ? first + 1 : Number(match[2]);
    if (end <= first) return undefined;
    runs.push([first, end]);
  }
  const joined: [number, number][] = [];
  for (const run of runs.sort(([a], [b]) => a - b)) {
    const last = joined.at(-1);
    if (last === undefined || run[0] > last[1]) joined.push(run);
    else last[1] = Math.max(last[1], run[1]);
  }
  return joined;
}

/** What the flags say of a set's rows; undefined unless they say it in exactly one way. */
export function contentOf(flags: SetFlags): SetContent | undefined {
  const ways: SetContent[] = [];
  if (flags.rows !== undefined) ways.push({ rows: flags.rows });
  if (flags.union !== undefined) ways.push({ operation: SetOperation.UNION, parents: flags.union });
  if (flags.intersection !== undefined)
    ways.push({ operation: SetOperation.INTERSECTION, parents: flags.intersection });
  if (flags.difference !== undefined) ways.push({ operation: SetOperation.DIFFERENCE, parents: flags.difference });
  return ways.length === 1 ? ways[0] : undefined;
}

/** `optistore set KEY NAME …`: makes or replaces a set. */
export async function putSet(key: string, name: string, content: SetContent, flags: SetFlags): Promise<void> {
  await using client = connect(flags);
  const { description, expectedRevision } = flags;
  const result = await client.putResultSet(key, name, content, {
    createdBy: userName(),
    ...(description !== undefined && { description }),
    ...(expectedRevision !== undefined && { expectedRevision }),
  });
  if (flags.json) return printMessage(ResultSchema, result);
  const set = result.resultSets.find((one) => one.name === name);
  print(`${key} ${name}: ${counted(set?.rowCount ?? 0n, 'row')}, revision ${result.revision}`);
}

/** `optistore set KEY NAME --delete` */
export async function deleteSet(key: string, name: string, flags: SetFlags): Promise<void> {
  await using client = connect(flags);
  const { expectedRevision } = flags;
  const result = await client.deleteResultSet(key, name, {
    ...(expectedRevision !== undefined && { expectedRevision }),
  });
  if (flags.json) return printMessage(ResultSchema, result);
  print(`${key} ${name}: deleted, revision ${result.revision}`);
}

/** `optistore set KEY`: lists the sets of a result. */
export async function listSets(key: string, flags: CommonFlags): Promise<void> {
  await using client = connect(flags);
  const { resultSets } = await client.getResult(key);
  if (flags.json) {
    const sets = resultSets.map((set) => toJson(ResultSetSchema, set));
    return printJson({ resultSets: sets });
  }
  for (const set of resultSets) print(line(set));
}

function line({ name, rowCount, operation, parents, createdBy, createTime, description }: ResultSet): string {
  const made =
    operation === SetOperation.UNSPECIFIED ? '' : `${SetOperation[operation].toLowerCase()} of ${parents.join(', ')}`;
  return [name, `${rowCount} rows`, made, createdBy, timeOf(createTime), description].join('\t');
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry in the system's list has no name.
    return '';
  }
}
