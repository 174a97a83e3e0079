import { toJsonString } from '@bufbuild/protobuf';
import {
  WatchResultsResponseSchema,
  type Upload,
  type WatchResultsResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import type { OptistoreClient } from '../../typescript/index.js';
import { connect } from '../connect.js';
import { print } from '../stdout.js';
import type { WatchedStore } from '../watch/watched.js';
import type { CommonFlags } from './catalogue.js';

/** Flags of `optistore watch`. */
export interface WatchFlags extends CommonFlags {
  readonly after?: bigint;
  readonly uploads?: boolean;
}

/** Not more often than a person can read. */
const REDRAW_MS = 250;
const LIST_MS = 5_000;

/** What happens, until Ctrl-C: a line each; on a terminal a table that is drawn anew in place. */
export async function watch(prefix: string, flags: WatchFlags): Promise<void> {
  await using client = connect(flags);
  const { after, uploads = false, json = false } = flags;
  const isLive = process.stdout.isTTY && !json;
  const options = { prefix, includeUploads: uploads || isLive, ...(after !== undefined && { afterEvent: after }) };
  const responses = client.watch(options);
  if (isLive) return await watchLive(client, prefix, responses);
  for await (const response of responses) {
    if (response.event.case === undefined) continue;
    print(json ? toJsonString(WatchResultsResponseSchema, response) : lineOf(response));
  }
}

async function watchLive(
  client: OptistoreClient,
  prefix: string,
  responses: AsyncIterable<WatchResultsResponse>,
): Promise<void> {
  const { WatchedStore: Store } = await import('../watch/watched.js');
  const { LiveScreen } = await import('../terminal/live-screen.js');
  const store = new Store(lineOf);
  using screen = new LiveScreen(process.stdout, (columns, lines) => store.frame(Date.now(), columns, lines));
  screen.redraw();
  const redrawing = setInterval(() => screen.redraw(), REDRAW_MS);
  // What can not be listed now is listed the next time: where the daemon is away, the events wait for it, or say why not.
  const list = () => void listUploads(client, prefix, store).catch(() => undefined);
  const listing = setInterval(list, LIST_MS);
  list();
  try {
    for await (const response of responses) store.take(response, Date.now());
  } finally {
    clearInterval(redrawing);
    clearInterval(listing);
  }
}

async function listUploads(client: OptistoreClient, prefix: string, store: WatchedStore): Promise<void> {
  const askedMs = Date.now();
  const uploads: Upload[] = [];
  for await (const upload of client.listUploads({ prefix })) uploads.push(upload);
  store.takeAll(uploads, askedMs, Date.now());
}

function lineOf({ eventNumber, event }: WatchResultsResponse): string {
  switch (event.case) {
    case 'committed':
    case 'updated':
      return `${eventNumber}\t${event.case}\t${event.value.key}\t${event.value.rowCount} rows\trevision ${event.value.revision}`;
    case 'deleted':
      return `${eventNumber}\tdeleted\t${event.value.key}\t\trevision ${event.value.revision}`;
    case 'upload':
      return `\tupload\t${event.value.key}\t${event.value.durableRowCount} rows\t${event.value.uploadId}`;
    case undefined:
      return '';
    default:
      return event satisfies never;
  }
}
