import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { WatchResultsRequest, WatchResultsResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { WatchResultsResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { toResult } from '../manager/result-view.js';
import type { StorageManager } from '../manager/storage-manager.js';
import type { WatchEvent } from '../manager/watch/watch-results.js';
import { toUpload } from './convert.js';
import { shuttingDown } from './save-stream.js';
import type { CallContext } from './service.js';

/** WatchResults: see its comment in the contract. */
export async function* watchStream(
  manager: StorageManager,
  { prefix, afterEvent, includeUploads }: WatchResultsRequest,
  { signal, draining }: CallContext,
): AsyncGenerator<WatchResultsResponse> {
  const stopped = AbortSignal.any([signal, draining]);
  try {
    for await (const { eventNumber, what } of manager.watch({ prefix, afterEvent, includeUploads }, stopped))
      yield create(WatchResultsResponseSchema, { eventNumber, ...(what && { event: toEvent(what) }) });
  } catch (error) {
    throw draining.aborted ? shuttingDown() : error;
  }
}

type Happening = NonNullable<WatchEvent['what']>;
type Event = NonNullable<MessageInitShape<typeof WatchResultsResponseSchema>['event']>;

function toEvent(what: Happening): Event {
  if (what.kind === 'upload') return { case: 'upload', value: toUpload(what.upload) };
  const { kind, manifest } = what;
  if (kind === 'deleted') return { case: 'deleted', value: { key: manifest.key, revision: manifest.revision } };
  return { case: kind, value: toResult(manifest, ResultView.BASIC) };
}
