import type { OptistoreError } from '../typescript/index.js';

/** Tells that the daemon is lost, and that it is back: each once, however often it is tried. */
export function tellLostDaemon(): { onReconnect(error: OptistoreError): void; onReconnected(): void } {
  let isLost = false;
  return {
    onReconnect: ({ message }) => {
      if (!isLost) process.stderr.write(`${message} Reconnecting.\n`);
      isLost = true;
    },
    onReconnected: () => {
      isLost = false;
      process.stderr.write('The daemon is back: going on.\n');
    },
  };
}
