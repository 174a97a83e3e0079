import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { ListQuery } from '../../backends/backend.js';
import { compareKeys } from '../../text-order.js';
import { nanoseconds } from '../../times.js';
import { mergeSorted } from './merge-sorted.js';

/** Two lists of one query as one, in its order. Of what only the lower one has at a place, `shows` decides. */
export async function* mergedLists(
  query: ListQuery,
  upper: AsyncIterable<Manifest>,
  lower: AsyncIterable<Manifest>,
  shows: (manifest: Manifest) => Promise<boolean>,
): AsyncGenerator<Manifest> {
  for await (const { item, isUpper } of mergeSorted(upper, lower, (a, b) => compare(query, a, b)))
    if (isUpper || (await shows(item))) yield item;
}

function compare({ orderBy, descending }: ListQuery, a: Manifest, b: Manifest): number {
  const timeOf = ({ commitTime, updateTime }: Manifest) =>
    orderBy === 'key' ? 0n : nanoseconds(orderBy === 'commit_time' ? commitTime : updateTime);
  const [aTime, bTime] = [timeOf(a), timeOf(b)];
  const order = aTime === bTime ? compareKeys(a.key, b.key) : aTime < bTime ? -1 : 1;
  return descending ? -order : order;
}
