import type { WebRequest } from './listener.js';

/** Set on every answer: a page of another site can neither frame, read nor run what comes from here. */
export const STRICT_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** A host, with or without a port: nothing that a URL would read as user, path or query. */
const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/i;
/** What a browser says of a request that its user or a page of the same origin made. */
const OWN_SITE = new Set(['same-origin', 'none']);

/**
 * Why a request is refused, undefined where it is not: it is for another name (a name that others own, made to point
 * here: DNS rebinding), or a page of another site sent it.
 */
export function refusalOf(request: WebRequest, hosts: readonly string[]): string | undefined {
  const host = hostOf(request);
  if (host === undefined) return 'The request has no Host, or one that is none.';
  if (!isOwnHost(host, request, hosts))
    return `This is not ${host}. Use the address that the daemon listens on, or add the name to web_hosts.`;
  const { origin } = request.headers;
  if (origin !== undefined && !isOriginOf(origin, host)) return `A page of ${origin} may not call this daemon.`;
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && !OWN_SITE.has(String(site)) && !isFollowedLink(request))
    return 'A page of another site may not call this daemon.';
  return undefined;
}

/** Whether somebody comes to the page itself by a link elsewhere: its files are no secret, and a GET calls no rpc. */
function isFollowedLink({ method, headers }: WebRequest): boolean {
  return method === 'GET' && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document';
}

/** The request's host and port, in small letters. */
function hostOf(request: WebRequest): string | undefined {
  const host = 'authority' in request ? request.authority : request.headers.host;
  if (host === undefined || !HOST.test(host)) return undefined;
  return host.toLowerCase();
}

function isOwnHost(host: string, request: WebRequest, hosts: readonly string[]): boolean {
  const { localAddress = '', localPort = 0 } = request.socket;
  const [name, port] = parted(host);
  if (hosts.some((own) => own.toLowerCase() === host || own.toLowerCase() === name)) return true;
  const address = localAddress.replace(/^::ffff:/, '');
  const own = ['localhost', '127.0.0.1', '[::1]', address.includes(':') ? `[${address}]` : address];
  return own.includes(name) && Number(port ?? defaultPort(request)) === localPort;
}

/** A browser leaves the port of the scheme out. */
function defaultPort(request: WebRequest): number {
  return 'encrypted' in request.socket && request.socket.encrypted ? 443 : 80;
}

function parted(host: string): [name: string, port: string | undefined] {
  const port = /:(\d+)$/.exec(host)?.[1];
  return port === undefined ? [host, undefined] : [host.slice(0, -port.length - 1), port];
}

function isOriginOf(origin: string, host: string): boolean {
  const scheme = /^https?:\/\//.exec(origin)?.[0];
  // An origin is a scheme and a host; a URL of it would pass a user over.
  if (scheme === undefined || !HOST.test(origin.slice(scheme.length))) return false;
  if (!URL.canParse(origin) || !URL.canParse(scheme + host)) return false;
  return new URL(origin).host === new URL(scheme + host).host;
}
