/** Joins the command's many modules into few files, `dist/bin`: to find and read them one by one is a third of what a daemon's start takes. */
import { defineConfig } from 'rolldown';

/** What each start reads. All other packages stay as they are: they are native, read files beside them, or are rarely needed. */
const JOINED = /^(@bufbuild|@connectrpc|@grpc\/grpc-js|cockatiel|commander|lru-cache|zod)(\/|$)/;
const PACKAGE = /^[@a-z]/;

export default defineConfig({
  input: { optistore: 'dist/clients/cli/main.js' },
  platform: 'node',
  external: (id) => PACKAGE.test(id) && !JOINED.test(id),
  output: { dir: 'dist/bin', format: 'esm', cleanDir: true },
});
