import { create } from '@bufbuild/protobuf';
import {
  WatchResultsRequestSchema,
  type WatchResultsResponse,
} from '../../proto/gen/optistore/v1/storage_service_pb.js';
import type { Channel } from './channel.js';
import { OptistoreError } from './errors.js';
import { Backoff } from './retry.js';

/** What to watch. */
export interface WatchOptions {
  /** Keys that begin with this. */
  readonly prefix?: string;
  /** Go on behind this event; 0n: from the first. Default: only what comes from now on. */
  readonly afterEvent?: bigint;
  /** Also saves in progress. */
  readonly includeUploads?: boolean;
}

/** What happens, over reconnects: see OptistoreClient.watch. */
export async function* watchEvents(
  channel: Channel,
  options: WatchOptions,
  retryMs: number,
): AsyncGenerator<WatchResultsResponse, void> {
  const backoff = new Backoff(retryMs);
  let { afterEvent } = options;
  while (!channel.isClosed) {
    const { prefix = '', includeUploads = false } = options;
    const request = create(WatchResultsRequestSchema, {
      ...{ prefix, includeUploads },
      ...(afterEvent !== undefined && { afterEvent }),
    });
    try {
      for await (const response of channel.stream('watchResults', request)) {
        backoff.succeeded();
        afterEvent = response.eventNumber;
        yield response;
      }
    } catch (error) {
      // Its last call was cancelled.
      if (channel.isClosed) return;
      if (!(error instanceof OptistoreError) || !error.isRetryable) throw error;
      await backoff.failed(error);
    }
  }
}
