/** Runs acts one after the other, in the order in which they were asked for. */
export class Serial {
  private tail: Promise<unknown> = Promise.resolve();

  /** Runs an act when all earlier ones have ended, whether they failed or not. */
  run<T>(act: () => Promise<T>): Promise<T> {
    const result = this.tail.then(act, act);
    this.tail = result.catch(() => undefined);
    return result;
  }
}

/** One Serial a name; names that nobody waits for are forgotten. */
export class SerialByName {
  private readonly serials = new Map<string, { serial: Serial; users: number }>();

  /** Runs an act when all earlier ones of the same name have ended. */
  async run<T>(name: string, act: () => Promise<T>): Promise<T> {
    const entry = this.serials.get(name) ?? { serial: new Serial(), users: 0 };
    this.serials.set(name, entry);
    entry.users++;
    try {
      return await entry.serial.run(act);
    } finally {
      if (--entry.users === 0) this.serials.delete(name);
    }
  }
}
