/** Whether every change goes to the secondary as well, asked for or not: while a store is moved to another as a whole. */
export class Mirroring {
  private started = false;

  get isOn(): boolean {
    return this.started;
  }

  /** From now on until the daemon stops. */
  start(): void {
    this.started = true;
  }
}
