import { create } from '@bufbuild/protobuf';
import { ResultSchema, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type {
  ListResultsRequest,
  ListResultsResponse,
  ListUploadsRequest,
  ListUploadsResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  AbortUploadResponseSchema,
  DeleteResultResponseSchema,
  ListResultsResponseSchema,
  ListUploadsResponseSchema,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { ListOrder, ListQuery } from '../backends/backend.js';
import { allOf, allTags } from '../filter/filter.js';
import { parseFilter } from '../filter/parse.js';
import { PAGE_BYTES_MAX } from '../limits.js';
import { checkedNumber, invalid } from '../manager/validate.js';
import { encodedBytes } from '../messages/encode.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { toResult } from '../manager/result-view.js';
import { roleOf, toUpload } from './convert.js';
import { copyStream } from './copy-result.js';
import { getResultHandler } from './get-result.js';
import { getStatus } from './get-status.js';
import { followStream, type FollowStreamOptions } from './follow-stream.js';
import { loadStream } from './load-stream.js';
import { migrateStoreStream, migrateStream, replicateStream } from './migration.js';
import { pageSizeOf, isResultPlace, isUploadPlace, pageToken, placeOf } from './pages.js';
import { resultSetHandlers } from './result-sets.js';
import { saveStream, type SaveStreamOptions } from './save-stream.js';
import type { CallContext, StorageServiceHandlers } from './service.js';
import { updateResult } from './update-result.js';
import { verifyStream } from './verify-results.js';
import { watchStream } from './watch-results.js';

/** What the service is told by the daemon. */
export interface ServiceOptions extends SaveStreamOptions, FollowStreamOptions {
  readonly version: string;
  readonly startTime: Date;
}

/** The service, for any door. */
export function createStorageService(manager: StorageManager, options: ServiceOptions): StorageServiceHandlers {
  let streamCount = 0;
  const counted = async function* <T>(stream: AsyncIterable<T>): AsyncGenerator<T> {
    streamCount++;
    try {
      yield* stream;
    } finally {
      streamCount--;
    }
  };
  return {
    saveResult: (requests, context) => counted(saveStream(manager, requests, context, options)),
    loadResult: (request, context) =>
      counted(
        request.follow ? followStream(manager, request, context, options) : loadStream(manager, request, context),
      ),
    getResult: getResultHandler(manager),
    listResults: (request, context) => listResults(manager, request, context),
    async deleteResult(request, { signal }) {
      const expected =
        request.expectedRevision === undefined
          ? undefined
          : checkedNumber(request.expectedRevision, 'expected_revision');
      const role = roleOf(request.backend, 'backend');
      const revision =
        role === undefined
          ? await manager.delete(request.key, expected, signal)
          : await manager.deleteCopy(request.key, role, expected, signal);
      return create(DeleteResultResponseSchema, { revision: BigInt(revision) });
    },
    updateResult: (request, context) => updateResult(manager, request, context),
    ...resultSetHandlers(manager),
    migrateResult: (request, context) => counted(migrateStream(manager, request, context)),
    replicateResults: (request, context) => counted(replicateStream(manager, request, context)),
    migrateStore: (_, context) => counted(migrateStoreStream(manager, context)),
    verifyResults: (request, context) => counted(verifyStream(manager, request, context)),
    watchResults: (request, context) => counted(watchStream(manager, request, context)),
    copyResult: (request, context) => counted(copyStream(manager, request, context)),
    listUploads: (request, context) => listUploads(manager, request, context),
    async abortUpload(request, { signal }) {
      await manager.abortUpload(request.uploadId, signal);
      return create(AbortUploadResponseSchema);
    },
    getStatus: (_, context) => getStatus(manager, options, streamCount, context),
  };
}

async function listResults(
  manager: StorageManager,
  request: ListResultsRequest,
  context: CallContext,
): Promise<ListResultsResponse> {
  const { orderBy, descending } = orderOf(request.orderBy);
  const pageSize = pageSizeOf(request.pageSize);
  const view = request.view === ResultView.UNSPECIFIED ? ResultView.BASIC : request.view;
  const fixed = {
    prefix: request.prefix,
    filter: request.filter,
    tags: Object.entries(request.tags).sort(),
    orderBy,
    descending,
  };
  const place = placeOf(fixed, request.pageToken, isResultPlace(request.prefix));
  const query: ListQuery = {
    prefix: request.prefix,
    filter: allOf(allTags(request.tags), parseFilter(request.filter)),
    orderBy,
    descending,
    ...(place === undefined ? {} : { after: { key: place[0], time: BigInt(place[1]) } }),
  };
  const response = create(ListResultsResponseSchema);
  let bytes = 0;
  let last: string[] = [];
  const results = manager.list(query, context.signal);
  for await (const manifest of results) {
    if (response.results.length === pageSize || bytes >= PAGE_BYTES_MAX) {
      response.nextPageToken = pageToken(fixed, last);
      break;
    }
    const result = toResult(manifest, view);
    bytes += encodedBytes(ResultSchema, result);
    response.results.push(result);
    const at = orderBy === 'commit_time' ? manifest.commitTime : manifest.updateTime;
    last = [
      manifest.key,
      orderBy === 'key' || at === undefined ? '0' : String(at.seconds * 1_000_000_000n + BigInt(at.nanos)),
    ];
  }
  response.unreachable = [...results.unreachable];
  response.stale = results.unreachable.has('primary');
  return response;
}

function orderOf(text: string): { orderBy: ListOrder; descending: boolean } {
  const [field = '', direction = 'asc', ...more] = text.trim().split(/\s+/);
  const orderBy = field === '' ? 'key' : field;
  const isKnown = orderBy === 'key' || orderBy === 'commit_time' || orderBy === 'update_time';
  if (isKnown && (direction === 'asc' || direction === 'desc') && more.length === 0)
    return { orderBy, descending: direction === 'desc' };
  throw invalid(
    `order_by is ${JSON.stringify(text)}; key, commit_time or update_time is possible, with " desc" behind it for the reverse`,
  );
}

async function listUploads(
  manager: StorageManager,
  request: ListUploadsRequest,
  context: CallContext,
): Promise<ListUploadsResponse> {
  const pageSize = pageSizeOf(request.pageSize);
  const fixed = { prefix: request.prefix };
  const [after] = placeOf(fixed, request.pageToken, isUploadPlace) ?? [];
  const response = create(ListUploadsResponseSchema);
  for await (const state of manager.uploads({ ...fixed, ...(after === undefined ? {} : { after }) }, context.signal)) {
    if (response.uploads.length === pageSize) {
      response.nextPageToken = pageToken(fixed, [response.uploads.at(-1)?.uploadId ?? '']);
      break;
    }
    response.uploads.push(toUpload(state));
  }
  return response;
}
