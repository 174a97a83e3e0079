import { create } from '@bufbuild/protobuf';
import type { Manifest } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { PlacementSchema, ResultView } from '../../proto/gen/optistore/v1/result_pb.js';
import type { GetResultResponse } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import { GetResultResponseSchema } from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { PlacedCopy } from '../manager/placements.js';
import { toResult } from '../manager/result-view.js';
import type { StorageManager } from '../manager/storage-manager.js';
import { asLasting } from '../rows/message-codec.js';
import { toBackend } from './convert.js';
import type { StorageServiceHandlers } from './service.js';

/** What an answer says besides the manifest. */
interface Asked {
  readonly view: ResultView;
  readonly copies: readonly PlacedCopy[];
  readonly isStale: boolean;
}

/** GetResult. The answer about a manifest is made and encoded once, as long as the store gives the same manifest. */
export function getResultHandler(manager: StorageManager): StorageServiceHandlers['getResult'] {
  const answers = new WeakMap<Manifest, { readonly name: string; readonly answer: GetResultResponse }>();
  return async (request, { signal }) => {
    const manifest = await manager.stat(request.key, undefined, signal);
    const view = request.view === ResultView.UNSPECIFIED ? ResultView.FULL : request.view;
    const copies = view === ResultView.FULL ? await manager.placements(manifest, signal) : [];
    const asked = { view, copies, isStale: manager.isStale(manifest) };
    const name = nameOf(asked);
    const known = answers.get(manifest);
    if (known?.name === name) return known.answer;
    const answer = asLasting(answerOf(manifest, asked));
    answers.set(manifest, { name, answer });
    return answer;
  };
}

/** Tells apart the answers that there may be about one manifest. */
function nameOf({ view, copies, isStale }: Asked): string {
  return `${view} ${isStale} ${copies.map(({ role, manifest }) => `${role} ${manifest.revision}`).join()}`;
}

function answerOf(manifest: Manifest, { view, copies, isStale }: Asked): GetResultResponse {
  const result = toResult(manifest, view);
  result.placements = copies.map(({ role, manifest: { revision } }) =>
    create(PlacementSchema, { backend: toBackend(role), revision }),
  );
  return create(GetResultResponseSchema, { result, stale: isStale });
}
