import { create } from '@bufbuild/protobuf';
import type {
  GetStatusResponse,
  SaveOpen,
  SaveResultRequest,
  SaveResultResponse,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  ListResultsRequestSchema,
  ListUploadsRequestSchema,
  WatchResultsRequestSchema,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { StorageError } from '../../errors.js';
import type { StorageManager } from '../../manager/storage-manager.js';
import type { CallContext, StorageServiceHandlers } from '../service.js';
import { described, hasScope, toCaller, type Caller, type Scope } from './caller.js';
import type { Tokens } from './tokens.js';
import { UploadPlaces, type GiveBack } from './upload-places.js';

/**
 * The service for those who have a token: each call is for keys that begin with the token's prefix, and needs its scope. Lists,
 * and what is watched, are narrowed to the prefix. TOKEN_INVALID, NOT_ALLOWED.
 */
export function authorized(
  handlers: StorageServiceHandlers,
  manager: StorageManager,
  tokens: Tokens,
): StorageServiceHandlers {
  const access: Access = { handlers, manager, tokens, places: new UploadPlaces(manager) };
  return { ...forResults(access), ...forCatalogue(access), ...forStores(access) };
}

/** What the calls of those who have tokens are served with. */
interface Access {
  readonly handlers: StorageServiceHandlers;
  readonly manager: StorageManager;
  readonly tokens: Tokens;
  readonly places: UploadPlaces;
}

/** One result each. */
function forResults({
  handlers,
  tokens,
  places,
}: Access): Pick<
  StorageServiceHandlers,
  | 'saveResult'
  | 'loadResult'
  | 'getResult'
  | 'updateResult'
  | 'copyResult'
  | 'putResultSet'
  | 'deleteResultSet'
  | 'deleteResult'
> {
  return {
    saveResult: (requests, context) =>
      stream(tokens, context, 'write', (caller, own) => saveInPlace(requests, caller, own, handlers, places)),
    loadResult: (request, context) =>
      stream(tokens, context, 'read', (caller, own) => handlers.loadResult(ownKey(request, caller), own)),
    getResult: (request, context) =>
      unary(tokens, context, 'read', (caller, own) => handlers.getResult(ownKey(request, caller), own)),
    updateResult: (request, context) =>
      unary(tokens, context, 'write', (caller, own) => {
        checkKeys(caller, request.result?.key ?? '');
        return handlers.updateResult(request, own);
      }),
    copyResult: (request, context) =>
      stream(tokens, context, 'write', (caller, own) => {
        checkKeys(caller, request.key, request.toKey);
        return handlers.copyResult(request, own);
      }),
    putResultSet: (request, context) =>
      unary(tokens, context, 'write', (caller, own) => handlers.putResultSet(ownKey(request, caller), own)),
    deleteResultSet: (request, context) =>
      unary(tokens, context, 'write', (caller, own) => handlers.deleteResultSet(ownKey(request, caller), own)),
    deleteResult: (request, context) =>
      unary(tokens, context, 'write', (caller, own) => handlers.deleteResult(ownKey(request, caller), own)),
  };
}

/** What there is. */
function forCatalogue({
  handlers,
  tokens,
  manager,
}: Access): Pick<StorageServiceHandlers, 'listResults' | 'watchResults' | 'listUploads' | 'abortUpload' | 'getStatus'> {
  return {
    listResults: (request, context) =>
      unary(tokens, context, 'read', (caller, own) =>
        handlers.listResults(create(ListResultsRequestSchema, narrowed(request, caller)), own),
      ),
    watchResults: (request, context) =>
      stream(tokens, context, 'read', (caller, own) =>
        handlers.watchResults(create(WatchResultsRequestSchema, narrowed(request, caller)), own),
      ),
    listUploads: (request, context) =>
      unary(tokens, context, 'read', (caller, own) =>
        handlers.listUploads(create(ListUploadsRequestSchema, narrowed(request, caller)), own),
      ),
    abortUpload: (request, context) =>
      unary(tokens, context, 'write', async (caller, own) => {
        await checkUpload(request.uploadId, caller, manager, own.signal);
        return await handlers.abortUpload(request, own);
      }),
    getStatus: (request, context) =>
      unary(tokens, context, 'read', async (caller, own) => {
        const status = { ...(await handlers.getStatus(request, own)), caller: toCaller(caller) };
        return caller.prefix === '' ? status : withoutReasons(status);
      }),
  };
}

/** From store to store. */
function forStores({
  handlers,
  tokens,
}: Access): Pick<StorageServiceHandlers, 'migrateResult' | 'replicateResults' | 'migrateStore' | 'verifyResults'> {
  return {
    migrateResult: (request, context) =>
      stream(tokens, context, 'write', (caller, own) => {
        checkKeys(caller, request.key === '' ? request.prefix : request.key);
        return handlers.migrateResult(request, own);
      }),
    replicateResults: (request, context) =>
      stream(tokens, context, 'admin', (caller, own) => handlers.replicateResults(ownPrefix(request, caller), own)),
    migrateStore: (request, context) =>
      stream(tokens, context, 'admin', (caller, own) => {
        checkKeys(caller, '');
        return handlers.migrateStore(request, own);
      }),
    verifyResults: (request, context) =>
      stream(tokens, context, 'admin', (caller, own) => handlers.verifyResults(ownPrefix(request, caller), own)),
  };
}

/** Serves a call of who was let in. */
async function unary<T>(
  tokens: Tokens,
  context: CallContext,
  scope: Scope,
  serve: (caller: Caller, context: CallContext) => Promise<T>,
): Promise<T> {
  const { caller } = admit(tokens, context, scope);
  return await serve(caller, { ...context, caller });
}

/** Serves a stream of who was let in, as long as their token is good. */
async function* stream<T>(
  tokens: Tokens,
  context: CallContext,
  scope: Scope,
  serve: (caller: Caller, context: CallContext) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const { caller, revoked } = admit(tokens, context, scope);
  const ended = new AbortController();
  // Not AbortSignal.any: a token outlives its streams by far, and would keep something of each.
  const endByToken = () => ended.abort(revoked.reason);
  const endByClient = () => ended.abort(context.signal.reason);
  revoked.addEventListener('abort', endByToken);
  context.signal.addEventListener('abort', endByClient);
  if (context.signal.aborted) endByClient();
  try {
    for await (const answer of concealed(serve(caller, { ...context, caller, signal: ended.signal }), caller)) {
      if (revoked.aborted) throw revoked.reason;
      yield answer;
    }
  } catch (error) {
    throw revoked.aborted ? revoked.reason : error;
  } finally {
    revoked.removeEventListener('abort', endByToken);
    context.signal.removeEventListener('abort', endByClient);
  }
}

function admit(tokens: Tokens, { authorization }: CallContext, scope: Scope) {
  const admission = tokens.admit(authorization);
  if (hasScope(admission.caller, scope)) return admission;
  throw notAllowed(`This needs the scope ${scope}, and ${described(admission.caller)}`);
}

/** Upload ids are the store's: what another one is for is no business of who may not see its key. */
async function* concealed<T>(answers: AsyncIterable<T>, { prefix }: Caller): AsyncGenerator<T> {
  try {
    yield* answers;
  } catch (error) {
    if (prefix === '' || !(error instanceof StorageError) || error.reason !== 'UPLOAD_CONFLICT') throw error;
    throw new StorageError(
      'UPLOAD_CONFLICT',
      'The upload id is taken, for another key or with other variables. Choose another id, or leave it to the daemon.',
    );
  }
}

/** A save whose key the caller may use, and whose upload has a place. */
async function* saveInPlace(
  requests: AsyncIterable<SaveResultRequest>,
  caller: Caller,
  context: CallContext,
  handlers: StorageServiceHandlers,
  places: UploadPlaces,
): AsyncGenerator<SaveResultResponse> {
  let giveBack: GiveBack = () => undefined;
  const take = async (open: SaveOpen) => {
    checkKeys(caller, open.key);
    giveBack = await places.take(open, caller, context.signal);
  };
  try {
    for await (const answer of handlers.saveResult(checkedOpen(requests, take), context)) {
      // From its first answer on it is listed.
      giveBack();
      yield answer;
    }
  } finally {
    giveBack();
  }
}

async function* checkedOpen(
  requests: AsyncIterable<SaveResultRequest>,
  check: (open: SaveOpen) => Promise<void>,
): AsyncGenerator<SaveResultRequest> {
  let isOpen = false;
  for await (const request of requests) {
    if (!isOpen && request.message.case === 'open') {
      isOpen = true;
      await check(request.message.value);
    }
    yield request;
  }
}

/** Refuses an upload of a key that the caller may not see, as if it were not there. */
async function checkUpload(
  uploadId: string,
  { prefix }: Caller,
  manager: StorageManager,
  signal: AbortSignal,
): Promise<void> {
  if (prefix === '') return;
  for await (const upload of manager.uploads({ prefix }, signal)) if (upload.uploadId === uploadId) return;
  throw new StorageError('UPLOAD_NOT_FOUND', `There is no upload "${uploadId}" under "${prefix}".`);
}

/** A status that says that something failed, and not what: that names keys and the daemon's files. */
function withoutReasons({ backends, replication, scrub, ...status }: GetStatusResponse): GetStatusResponse {
  const untold = (reason: string) =>
    reason === '' ? '' : `A token for all keys is told what, and the daemon's log has it.`;
  return {
    ...status,
    backends: backends.map((backend) => ({ ...backend, message: untold(backend.message) })),
    ...(replication && { replication: { ...replication, lastFailure: untold(replication.lastFailure) } }),
    ...(scrub && { scrub: { ...scrub, lastFailure: untold(scrub.lastFailure) } }),
  };
}

/** A request for a key that the caller may use. */
function ownKey<Request extends { readonly key: string }>(request: Request, caller: Caller): Request {
  checkKeys(caller, request.key);
  return request;
}

/** A request for keys that the caller may use, all of them. */
function ownPrefix<Request extends { readonly prefix: string }>(request: Request, caller: Caller): Request {
  checkKeys(caller, request.prefix);
  return request;
}

/** A request for those of its keys that the caller may use. */
function narrowed<Request extends { readonly prefix: string }>(request: Request, caller: Caller): Request {
  if (request.prefix.startsWith(caller.prefix)) return request;
  if (caller.prefix.startsWith(request.prefix)) return { ...request, prefix: caller.prefix };
  throw notAllowed(`Keys that begin with "${request.prefix}" are not yours to see: ${described(caller)}`);
}

function checkKeys(caller: Caller, ...keys: readonly string[]): void {
  const other = keys.find((key) => !key.startsWith(caller.prefix));
  if (other !== undefined) throw notAllowed(`"${other}" is not yours to use: ${described(caller)}`);
}

function notAllowed(what: string): StorageError {
  return new StorageError(
    'NOT_ALLOWED',
    `${what}. Who runs the daemon makes another one with \`optistore token create\`.`,
  );
}
