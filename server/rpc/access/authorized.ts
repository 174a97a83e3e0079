import { create } from '@bufbuild/protobuf';
import type { SaveResultRequest } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import {
  ListResultsRequestSchema,
  ListUploadsRequestSchema,
  WatchResultsRequestSchema,
} from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { StorageError } from '../../errors.js';
import { TOKEN_UPLOADS_MAX } from '../../limits.js';
import type { StorageManager } from '../../manager/storage-manager.js';
import type { CallContext, StorageServiceHandlers } from '../service.js';
import { hasScope, type Caller, type Scope } from './caller.js';
import type { Tokens } from './tokens.js';

/**
 * The service for those who have a token: each call is for keys that begin with the token's prefix, and needs its scope. Lists,
 * and what is watched, are narrowed to the prefix. TOKEN_INVALID, NOT_ALLOWED.
 */
export function authorized(
  handlers: StorageServiceHandlers,
  manager: StorageManager,
  tokens: Tokens,
): StorageServiceHandlers {
  const access: Access = { handlers, manager, tokens };
  return { ...forResults(access), ...forCatalogue(access), ...forStores(access) };
}

/** What the calls of those who have tokens are served with. */
interface Access {
  readonly handlers: StorageServiceHandlers;
  readonly manager: StorageManager;
  readonly tokens: Tokens;
}

/** One result each. */
function forResults({
  handlers,
  tokens,
  manager,
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
      stream(tokens, context, 'write', (caller, own) =>
        handlers.saveResult(checkedOpen(requests, caller, manager, own.signal), own),
      ),
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
    getStatus: (request, context) => unary(tokens, context, 'read', (_, own) => handlers.getStatus(request, own)),
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

/** The requests of a save whose key the caller may use. */
async function* checkedOpen(
  requests: AsyncIterable<SaveResultRequest>,
  caller: Caller,
  manager: StorageManager,
  signal: AbortSignal,
): AsyncGenerator<SaveResultRequest> {
  let isOpen = false;
  for await (const request of requests) {
    if (!isOpen && request.message.case === 'open') {
      isOpen = true;
      const { key, uploadId } = request.message.value;
      checkKeys(caller, key);
      await checkUploadCount(uploadId, caller, manager, signal);
    }
    yield request;
  }
}

/** Refuses a new upload where the token has too many: TOO_MANY_UPLOADS. One that is resumed is not new. */
async function checkUploadCount(
  uploadId: string,
  caller: Caller,
  manager: StorageManager,
  signal: AbortSignal,
): Promise<void> {
  let count = 0;
  for await (const upload of manager.uploads({ prefix: caller.prefix }, signal)) {
    if (upload.uploadId === uploadId) return;
    if (upload.createdBy === caller.name) count++;
  }
  if (count < TOKEN_UPLOADS_MAX) return;
  throw new StorageError(
    'TOO_MANY_UPLOADS',
    `${described(caller)} and has ${count} uploads open, which is as many as one may have. Commit or abort some; \`optistore uploads\` lists them.`,
  );
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

function described({ name, scope, prefix }: Caller): string {
  return `the token "${name}" has the scope ${scope}${prefix === '' ? '' : ` for keys under "${prefix}"`}`;
}

function notAllowed(what: string): StorageError {
  return new StorageError(
    'NOT_ALLOWED',
    `${what}. Who runs the daemon makes another one with \`optistore token create\`.`,
  );
}
