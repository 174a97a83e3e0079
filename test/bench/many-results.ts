/** Stores of many results, made quickly. */
import { join } from 'node:path';
import { clone, create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { ManifestSchema, type Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Direction, ProblemSchema, ValueType, VariableRole } from '../../proto/gen/optistore/v1/problem_pb.js';
import { Outcome, ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import type { StorageBackend } from '../../server/backends/backend.js';
import type { Change } from '../../server/backends/leveldb/index-entries.js';
import { IndexStore } from '../../server/backends/leveldb/index-store.js';
import { unsealStore } from '../../server/backends/leveldb/mend-index.js';
import { openBackend } from '../../server/backends/open-backend.js';
import { committedRecord } from '../../server/backends/uploads/uploads.js';

const WRITERS = 32;
const NEVER = new AbortController().signal;

const problem = create(ProblemSchema, {
  name: 'beam',
  solver: 'NSGA2',
  variables: [
    { name: 'x', role: VariableRole.DESIGN_VARIABLE, valueType: ValueType.FLOAT64 },
    { name: 'f', role: VariableRole.OBJECTIVE, valueType: ValueType.FLOAT64, direction: Direction.MINIMIZE },
  ],
});

/** Each number below a million once, in an order that has nothing to do with that of the commits. */
export const valueOf = (number: number) => (number * 618_033) % 1_000_003;
export const keyOf = (number: number) => `runs/${String(number).padStart(8, '0')}`;
/** Its tags pick one in a hundred and one in a thousand. */
export const tagsOf = (number: number) => ({ team: `t${number % 100}`, batch: `b${number % 1000}` });

/** One result. */
async function save(backend: StorageBackend, number: number): Promise<void> {
  const spec = {
    ...{ key: keyOf(number), uploadId: `run-${number}`, problem, description: '' },
    tags: tagsOf(number),
    ...{ attributes: undefined, expectedRevision: undefined, replication: ReplicationMode.NONE, append: false },
    createdBy: '',
  };
  await using upload = await backend.openUpload(spec, NEVER);
  const values = new Uint8Array(Float64Array.of(valueOf(number), valueOf(number) + 1).buffer);
  const column = { values, offsets: undefined, validity: undefined };
  await upload.append({ firstRow: 0, rowCount: 2, columns: [column, column] });
  await upload.commit({ rowCount: 2, outcome: Outcome.FINISHED, resultSets: [] });
}

/** Saves results, from one number to before another. */
export async function fill(backend: StorageBackend, from: number, to: number): Promise<void> {
  let next = from;
  const write = async () => {
    while (next < to) await save(backend, next++);
  };
  await Promise.all(Array.from({ length: WRITERS }, write));
}

/** A result that is like a saved one to who asks for it or for pages. */
export function alike(like: Manifest, number: number, timeMs: number): Manifest {
  const manifest = clone(ManifestSchema, like);
  manifest.key = keyOf(number);
  manifest.uploadId = `run-${number}`;
  manifest.tags = tagsOf(number);
  manifest.changeNumber = BigInt(number + 1);
  manifest.commitTime = manifest.updateTime = timestampFromMs(timeMs);
  for (const column of manifest.columns) if (column.best !== undefined) column.best = valueOf(number);
  return manifest;
}

/** Puts results into a closed LevelDB store that are like saved ones, a thousand a write: saves one by one would take an hour. */
export async function fillLeveldb(path: string, from: number, to: number): Promise<void> {
  if (from === 0) {
    await using backend = await openBackend({ type: 'leveldb', path }, {});
    await fill(backend, 0, 1);
  }
  // Its files will not be as they were when it was closed.
  await unsealStore(path, false);
  await using index = await IndexStore.open(join(path, 'index'), () => Promise.resolve());
  const like = (await index.newest(keyOf(0))) as Manifest;
  const image = (await index.inline(like.segments[0]?.name ?? '')) as Buffer;
  const startMs = Date.now();
  for (let first = Math.max(from, 1); first < to; first += 1000) {
    const changes: Change[] = [];
    for (let number = first; number < Math.min(first + 1000, to); number++) {
      const manifest = alike(like, number, startMs + number - from);
      const name = String(number + 1).padStart(12, '0');
      for (const segment of manifest.segments) segment.name = name;
      const record = committedRecord({ uploadId: manifest.uploadId, number: number + 1 }, manifest);
      changes.push(...index.replaceCurrent(manifest, undefined), ...index.putUpload(record));
      changes.push(index.putInline(name, image));
    }
    await index.write(changes);
  }
}
