import { chmod, stat, unlink } from 'node:fs/promises';
import { connect, type Server, type Socket } from 'node:net';
import koffi from 'koffi';
import { StorageError } from '../../errors.js';

/**
 * Makes room for a Unix socket: what a killed daemon left is removed. REQUEST_INVALID where something else is there,
 * BACKEND_LOCKED where it is served.
 */
export async function freeSocketPath(path: string): Promise<void> {
  const before = await stat(path).catch(() => undefined);
  if (before === undefined) return;
  if (!before.isSocket())
    throw new StorageError(
      'REQUEST_INVALID',
      `${path} is there already, and it is no socket. Choose another path with --socket, or move it away.`,
    );
  const isServed = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true)).on('error', () => resolve(false));
    probe.on('connect', () => probe.destroy());
  });
  if (isServed)
    throw new StorageError(
      'BACKEND_LOCKED',
      `Another process serves the socket ${path}. Stop it, or choose another with --socket.`,
    );
  await unlink(path);
}

/** Binds a Unix socket that nobody but this user can open, at no moment. */
export async function bindPrivately<T>(path: string, bind: () => Promise<T>): Promise<T> {
  // Not 0177: folders that a store makes meanwhile could not be looked into by their own user.
  const mask = process.umask(0o077);
  try {
    return await bind();
  } finally {
    process.umask(mask);
    await chmod(path, 0o600).catch(() => undefined);
  }
}

/**
 * Closes connections of other users than this one and root. The mode of the socket keeps them out already; this holds as well
 * where the mode was changed, or the system does not go by it.
 */
export function refuseOtherUsers(server: Server, onRefused: (userId: number) => void): void {
  const own = process.getuid?.();
  server.prependListener('connection', (socket: Socket) => {
    const userId = peerUserId(socket);
    if (userId === own || userId === 0) return;
    onRefused(userId);
    socket.destroy();
  });
}

type Ask = (fd: number, level: number, name: number, value: Uint32Array, length: number[]) => number;

/** Linux: SOL_SOCKET and SO_PEERCRED, which give { pid, uid, gid }. Elsewhere: SOL_LOCAL and LOCAL_PEERCRED, { version, uid, … }. */
const [LEVEL, NAME] = process.platform === 'linux' ? [1, 17] : [0, 1];
/** Of a struct xucred, the longer of both. */
const CREDENTIAL_WORDS = 20;

let getsockopt: Ask | undefined;

/** The user at the other end of a Unix socket; -1 where the system does not tell. Node has no call for it. */
function peerUserId(socket: Socket): number {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  getsockopt ??= koffi
    .load(null)
    .func('int getsockopt(int fd, int level, int name, _Out_ uint32_t *value, _Inout_ uint32_t *length)') as Ask;
  const credentials = new Uint32Array(CREDENTIAL_WORDS);
  if (getsockopt(fd, LEVEL, NAME, credentials, [credentials.byteLength]) !== 0) return -1;
  return credentials[1] ?? -1;
}
