/** Makes the page's static files, `dist/web`, which the daemon's web port serves. */
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  // The page works below any path.
  base: './',
  build: {
    outDir: '../../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    // An inlined file would be a data: address, which the page's Content-Security-Policy has no room for.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
