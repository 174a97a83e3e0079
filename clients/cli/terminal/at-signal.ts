const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Does something before Ctrl-C or SIGTERM ends the process, which then ends by that signal, as who waits for it expects; until it is disposed. */
export function atSignal(act: () => void): Disposable {
  const dispose = () => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  const onSignal = (signal: NodeJS.Signals) => {
    dispose();
    act();
    // Of several that listen only the last one ends it: until then the signal is still caught.
    process.kill(process.pid, signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return { [Symbol.dispose]: dispose };
}
