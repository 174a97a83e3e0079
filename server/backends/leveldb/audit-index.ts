import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import {
  ManifestSchema,
  RevisionKind,
  UploadRecordSchema,
} from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { nanoseconds } from '../../times.js';
import { committedRecord } from '../uploads/uploads.js';
import type { DurableLevel as Index } from './durable-level.js';
import type { Change } from './index-entries.js';
import {
  changeKey,
  checks,
  committedKey,
  currentKey,
  decode,
  endOf,
  numberFrom,
  placesOf,
  put,
} from './index-entries.js';

/** Stands for an entry that was lost: it does not check. */
const LOST = Buffer.from('lost');

/**
 * Compares what a mended index says in several places: under a key, by its number, by its times. An entry that is lost, or older
 * than the others know, becomes one that does not check; one under a wrong name goes back to its own. `suspects`: keys of which a change was
 * lost for which no other place may speak.
 */
export async function auditIndex(index: Index, suspects: ReadonlySet<string>): Promise<void> {
  await putStraysBack(index);
  const lost = new Set<string>();
  for (const key of suspects) if ((await index.get(currentKey(key))) !== undefined) lost.add(key);
  await compareNumbers(index, lost);
  await compareTimes(index, lost);
  await index.batch([...lost].map((key): Change => ({ type: 'put', key: currentKey(key), value: LOST })));
  await completePlaces(index);
}

async function newestOf(index: Index, key: string): Promise<Manifest | 'damaged' | undefined> {
  const value = await index.get(currentKey(key));
  if (value === undefined) return undefined;
  const manifest = checks(value) ? decode(ManifestSchema, value) : undefined;
  return manifest?.key === key ? manifest : 'damaged';
}

async function putStraysBack(index: Index): Promise<void> {
  const from = currentKey('');
  for await (const [place, value] of index.iterator({ gte: from, lt: endOf(from) })) {
    const manifest = checks(value) ? decode(ManifestSchema, value) : undefined;
    if (manifest === undefined || currentKey(manifest.key) === place) continue;
    const own = await newestOf(index, manifest.key);
    const isNewer = own === undefined || (own !== 'damaged' && own.changeNumber < manifest.changeNumber);
    const back = isNewer ? [put(currentKey(manifest.key), ManifestSchema, manifest)] : [];
    await index.batch([{ type: 'del', key: place }, ...back]);
  }
}

/** The number of a change says how new a key's entry must be at least. */
async function compareNumbers(index: Index, lost: Set<string>): Promise<void> {
  for await (const [place, value] of index.iterator({ gt: changeKey(0n), lt: endOf('change\0') })) {
    const number = numberFrom(place.slice('change\0'.length));
    const key = Buffer.from(value).toString();
    const manifest = await newestOf(index, key);
    if (number === undefined) await index.batch([{ type: 'del', key: place }]);
    if (manifest === 'damaged') continue;
    if (manifest === undefined ? isName(key) : manifest.changeNumber < (number ?? 0n)) lost.add(key);
    else if (manifest === undefined || manifest.changeNumber > (number ?? 0n))
      await index.batch([{ type: 'del', key: place }]);
  }
}

async function compareTimes(index: Index, lost: Set<string>): Promise<void> {
  for (const order of ['commit_time', 'update_time'] as const) {
    const from = `time\0${order}\0`;
    for await (const place of index.keys({ gte: from, lt: endOf(from) })) {
      const time = numberFrom(place.slice(from.length, from.length + 20));
      const key = place.slice(from.length + 21);
      const manifest = await newestOf(index, key);
      if (time === undefined) await index.batch([{ type: 'del', key: place }]);
      if (manifest === 'damaged' || time === undefined) continue;
      const own = nanoseconds(order === 'commit_time' ? manifest?.commitTime : manifest?.updateTime);
      if (manifest === undefined ? isName(key) : own < time && manifest.kind === RevisionKind.COMMITTED) lost.add(key);
      else if (manifest === undefined || !placesOf(manifest).includes(place))
        await index.batch([{ type: 'del', key: place }]);
    }
  }
}

/** Whether bytes of the index can be a key at all. */
function isName(key: string): boolean {
  return key !== '' && !key.includes('\ufffd') && ![...key].some((character) => character < ' ');
}

/** Whatever is found under its key is found by number and time as well, and its upload is known. */
async function completePlaces(index: Index): Promise<void> {
  const from = currentKey('');
  for await (const [place, value] of index.iterator({ gte: from, lt: endOf(from) })) {
    const manifest = checks(value) ? decode(ManifestSchema, value) : undefined;
    if (manifest === undefined || currentKey(manifest.key) !== place) continue;
    const changes: Change[] = [];
    for (const other of placesOf(manifest))
      if (Buffer.from((await index.get(other)) ?? []).toString() !== manifest.key)
        changes.push({ type: 'put', key: other, value: Buffer.from(manifest.key) });
    const upload = committedKey(manifest.uploadId);
    if (manifest.kind === RevisionKind.COMMITTED && manifest.uploadId !== '') {
      const known = await index.get(upload);
      if (known === undefined || !checks(known))
        changes.push(
          put(upload, UploadRecordSchema, committedRecord({ uploadId: manifest.uploadId, number: 0 }, manifest)),
        );
    }
    if (changes.length > 0) await index.batch(changes);
  }
}
