import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { WebRequest, WebResponse } from './listener.js';

/** What the page's files are, by the end of their names. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
/** Vite names these by what they hold: another content is another name. */
const NAMED_BY_CONTENT = '/assets/';
const NAMED_BY_CONTENT_KEPT = 'public, max-age=31536000, immutable';

/** A file of the page, ready to be sent. */
interface PageFile {
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
  readonly type: string;
  readonly etag: string;
}

/** The page's static files: read and compressed when they are first asked for, and kept. */
export class Page {
  private files: Promise<ReadonlyMap<string, PageFile>> | undefined;

  /** `folder`: what Vite built. Where it is missing there is no page. */
  constructor(private readonly folder: URL) {}

  /** Whether a request may be for it: an rpc is POSTed. */
  static isAskedFor({ method }: WebRequest): boolean {
    return method === 'GET' || method === 'HEAD';
  }

  /** Answers with the file at a path; false where there is none, and nothing was answered. */
  async serve(path: string, request: WebRequest, response: WebResponse): Promise<boolean> {
    const file = (await this.all()).get(path === '/' ? '/index.html' : path);
    if (file === undefined) return false;
    response.setHeader('Cache-Control', path.startsWith(NAMED_BY_CONTENT) ? NAMED_BY_CONTENT_KEPT : 'no-cache');
    response.setHeader('ETag', file.etag);
    response.setHeader('Vary', 'Accept-Encoding');
    if (isKnown(request, file)) {
      response.statusCode = 304;
      response.end();
      return true;
    }
    const isGzipped = takesGzip(request);
    const body = isGzipped ? file.gzipped : file.bytes;
    if (isGzipped) response.setHeader('Content-Encoding', 'gzip');
    response.setHeader('Content-Type', file.type);
    response.setHeader('Content-Length', body.length);
    if (request.method === 'HEAD') response.end();
    else response.end(body);
    return true;
  }

  private all(): Promise<ReadonlyMap<string, PageFile>> {
    this.files ??= readFiles(this.folder).catch((error: unknown) => {
      // The next request tries again.
      this.files = undefined;
      throw error;
    });
    return this.files;
  }
}

/** Whether who asks has it already: of several entity tags one may be its, also weak, as what stands between makes them. */
function isKnown({ headers }: WebRequest, { etag }: PageFile): boolean {
  const known = headers['if-none-match'] ?? '';
  return known.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}

function takesGzip({ headers }: WebRequest): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(headers['accept-encoding'] ?? ''));
}

async function readFiles(folder: URL): Promise<ReadonlyMap<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const name of await namesIn(folder)) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const bytes = await readFile(new URL(name, folder));
    const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
    files.set(`/${name}`, { bytes, gzipped: await promisify(gzip)(bytes, { level: 9 }), type, etag });
  }
  return files;
}

async function namesIn(folder: URL): Promise<string[]> {
  try {
    return await readdir(folder, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
