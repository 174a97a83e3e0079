import { createClient, type Client, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { computed, signal, type ReadonlySignal } from '@preact/signals';
import { StorageService } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { explain } from './errors.js';

/** In memory only: a reload asks for it again, and no other page, nor the next person at this browser, finds it. */
const token = signal<string | undefined>(undefined);
const refused = signal<string | undefined>(undefined);
const answers = signal(0);

/** Why a token is asked for; undefined while none is. */
export const tokenWanted: ReadonlySignal<string | undefined> = refused;

/** How many calls the daemon has answered, or begun to: whoever lost it sees by a change that it is there. */
export const answered: ReadonlySignal<number> = answers;

/** Whether calls are made with a token. */
export const isLoggedIn: ReadonlySignal<boolean> = computed(() => token.value !== undefined);

/** Makes all calls from now on with this token. */
export function logIn(secret: string): void {
  token.value = secret;
  refused.value = undefined;
}

/** Forgets the token. */
export function logOut(): void {
  token.value = undefined;
  refused.value = 'You are logged out.';
}

const withToken: Interceptor = (next) => async (request) => {
  const { value: secret } = token;
  if (secret !== undefined) request.header.set('Authorization', `Bearer ${secret}`);
  try {
    const response = await next(request);
    answers.value++;
    return response.stream ? { ...response, message: noticed(response.message, secret) } : response;
  } catch (error) {
    notice(error, secret);
    throw error;
  }
};

/** A stream, which fails while it is read. */
async function* noticed<T>(messages: AsyncIterable<T>, secret: string | undefined): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    notice(error, secret);
    throw error;
  }
}

function notice(error: unknown, secret: string | undefined): void {
  const { reason, message } = explain(error);
  // A call that was made with another token says nothing of this one.
  if (reason !== 'TOKEN_INVALID' || secret !== token.peek()) return;
  refused.value = secret === undefined ? 'This daemon asks for a token.' : message;
  token.value = undefined;
}

/** The daemon that served this page. Failures: see `explain`. */
export const daemon: Client<typeof StorageService> = createClient(
  StorageService,
  // Below the page's own address, whatever stands in front of it.
  createConnectTransport({ baseUrl: '.', useBinaryFormat: true, interceptors: [withToken] }),
);
