import type { Logger } from 'pino';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { DRAIN_MS_MAX } from '../../limits.js';
import type { StorageServiceHandlers } from '../service.js';
import type { Certificates } from './certificates.js';
import type { Door, DoorLimits } from './door.js';
import { Page } from './web/page.js';
import { refusalOf, STRICT_HEADERS } from './web/guard.js';
import { WebListener, type WebRequest, type WebResponse } from './web/listener.js';
import { bodyFormOf } from './web/request-body.js';
import { createRpcs, peerOf, unimplemented } from './web/rpcs.js';

/** How the web door is opened. */
export interface WebDoorOptions extends DoorLimits {
  readonly handlers: StorageServiceHandlers;
  /** `host:port`; port 0 takes any that is free. */
  readonly listen: string;
  /** Names that it is reached by beside its address, each with a port or for all ports. */
  readonly hosts: readonly string[];
  /** Where gRPC is served, for those who ask here for what only gRPC can. */
  readonly grpcAddress: string;
  /** Where the page's static files lie. */
  readonly pageFolder: URL;
  /** With it: TLS, and HTTP/2 beside HTTP/1.1. */
  readonly certificates?: Certificates | undefined;
  readonly log: Logger;
  /** An answer of which nothing is read for this long ends with STREAM_IDLE. */
  readonly streamIdleTimeoutMs: number;
}

/** Serves the page, Connect and gRPC-Web, for browsers and curl, and `/healthz`. REQUEST_INVALID where the address can't be had. */
export async function openWebDoor(options: WebDoorOptions): Promise<Door> {
  const draining = new AbortController();
  const surroundings = { ...options, draining: draining.signal };
  const rpcs = { 1: createRpcs(surroundings, 1), 2: createRpcs(surroundings, 2) };
  const page = new Page(options.pageFolder);
  const listener = new WebListener(
    (request, response, room) => {
      for (const [name, value] of Object.entries(STRICT_HEADERS)) response.setHeader(name, value);
      const refusal = refusalOf(request, options.hosts);
      if (refusal !== undefined) {
        options.log.info({ peer: peerOf(request), error: refusal }, 'refused');
        return answerError(response, 403, 'permission_denied', refusal);
      }
      const path = request.url?.split('?', 1)[0] ?? '';
      if (path === '/healthz') return answerHealth(response, draining.signal.aborted);
      const rpc = rpcs[request.httpVersionMajor === 2 ? 2 : 1].get(path);
      if (rpc === undefined) return servePage(page, path, request, response, options.log);
      serveRpc(() => rpc(request, response, room), request, response, options);
    },
    options.certificates?.current,
    options,
  );
  options.certificates?.onReload((secure) => listener.replaceSecureContext(secure));
  const address = await listener.listen(options.listen);
  return {
    address,
    async drain() {
      draining.abort();
      await listener.close(DRAIN_MS_MAX);
    },
  };
}

const SAVE_PATH = `/${StorageService.typeName}/${StorageService.method.saveResult.name}`;

function serveRpc(
  rpc: () => Promise<void>,
  request: WebRequest,
  response: WebResponse,
  { log, grpcAddress }: WebDoorOptions,
): void {
  // A GET needs nobody's leave: an image in a page of another site sends one.
  if (request.method !== 'POST') {
    response.setHeader('Allow', 'POST');
    return answerError(response, 405, 'unimplemented', 'An rpc is called by POST.');
  }
  const form = bodyFormOf(request.headers['content-type'] ?? '');
  // Nor does a form, or a text: all that an rpc takes, a browser asks about first, and is refused.
  if (form === undefined)
    return answerError(response, 415, 'invalid_argument', 'An rpc takes application/json or application/proto.');
  if (request.url === SAVE_PATH && request.httpVersionMajor === 1 && !form.isEnveloped)
    return answerError(response, 501, 'unimplemented', unimplemented('SaveResult', grpcAddress));
  rpc().catch((error: unknown) => answerDefect(error, request, response, log));
}

function servePage(page: Page, path: string, request: WebRequest, response: WebResponse, log: Logger): void {
  const nothing = () =>
    path === '/'
      ? answerError(response, 404, 'unimplemented', 'The page is not built: `npm run build` makes it.')
      : answerError(response, 404, 'unimplemented', 'There is nothing at this path.');
  if (!Page.isAskedFor(request)) return nothing();
  page
    .serve(path, request, response)
    .then((isServed) => void (isServed || nothing()))
    .catch((error: unknown) => answerDefect(error, request, response, log));
}

function answerDefect(error: unknown, request: WebRequest, response: WebResponse, log: Logger): void {
  log.error({ err: error }, 'a defect');
  if (response.headersSent) request.socket.destroy();
  else answerError(response, 500, 'internal', "Internal error. The daemon's log has more.");
}

function answerHealth(response: WebResponse, isDraining: boolean): void {
  response.statusCode = isDraining ? 503 : 200;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(isDraining ? 'draining\n' : 'ok\n');
}

/** Answers with an error as Connect writes it. */
function answerError(response: WebResponse, status: number, code: string, message: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ code, message }));
}
