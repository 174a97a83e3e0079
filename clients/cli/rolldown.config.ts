/** Joins the command's many modules into few files, `dist/bin`: to find and read them one by one is a third of what a daemon's start takes. */
import { defineConfig } from 'rolldown';

/** Packages that stay as they are: they are native, read files beside them, or are rarely needed. */
const APART =
  /^(@grpc\/reflection|@node-rs\/crc32|apache-arrow|grpc-health-check|hyparquet|hyparquet-compressors|hyparquet-writer|knex|koffi|level|pg|snappy|sqlite3)(\/|$)/;

export default defineConfig({
  input: { optistore: 'dist/clients/cli/main.js' },
  platform: 'node',
  external: APART,
  output: { dir: 'dist/bin', format: 'esm', cleanDir: true },
});
