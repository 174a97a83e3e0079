import { toJsonString } from '@bufbuild/protobuf';
import {
  WatchResultsResponseSchema,
  type WatchResultsResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { connect } from '../connect.js';
import type { CommonFlags } from './catalogue.js';

/** Flags of `optistore watch`. */
export interface WatchFlags extends CommonFlags {
  readonly after?: bigint;
  readonly uploads?: boolean;
}

/** Prints what happens, a line each, until Ctrl-C. */
export async function watch(prefix: string, flags: WatchFlags): Promise<void> {
  await using client = connect(flags);
  const { after, uploads = false, json = false } = flags;
  const options = { prefix, includeUploads: uploads, ...(after !== undefined && { afterEvent: after }) };
  for await (const response of client.watch(options)) {
    if (response.event.case === undefined) continue;
    process.stdout.write(`${json ? toJsonString(WatchResultsResponseSchema, response) : lineOf(response)}\n`);
  }
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
