import type { StorageBackend, Upload } from '../../server/backends/backend.js';
import { StorageError } from '../../server/errors.js';

/** When a store fails. */
export class Outage {
  /** All calls fail with BACKEND_UNAVAILABLE. */
  isDown = false;
  /** It goes down after so many steps; a call is two, so that it may fail before it did anything, or before it answers. */
  stepsLeft: number | undefined;

  step(): void {
    if (this.stepsLeft !== undefined && --this.stepsLeft < 0) {
      this.isDown = true;
      this.stepsLeft = undefined;
    }
    if (this.isDown) throw new StorageError('BACKEND_UNAVAILABLE', 'down');
  }

  end(): void {
    this.isDown = false;
    this.stepsLeft = undefined;
  }
}

/** A memory store that counts as durable, is not closed with what is put before it, and fails when it is told to. */
export function failing(store: () => StorageBackend, outage: Outage): StorageBackend {
  const call = async <T>(act: () => Promise<T>): Promise<T> => {
    outage.step();
    const answer = await act();
    outage.step();
    return answer;
  };
  async function* stream<T>(items: () => AsyncIterable<T>): AsyncGenerator<T> {
    outage.step();
    for await (const item of items()) {
      yield item;
      outage.step();
    }
  }
  return {
    capabilities: { durable: true, shared: false },
    openUpload: (...args) => call(async () => failingUpload(await store().openUpload(...args), call)),
    uploads: (...args) => stream(() => store().uploads(...args)),
    viewUpload: (...args) => call(() => store().viewUpload(...args)),
    abortUpload: (...args) => call(() => store().abortUpload(...args)),
    stat: (...args) => call(() => store().stat(...args)),
    read: (...args) => stream(() => store().read(...args)),
    locate: () => undefined,
    list: (...args) => stream(() => store().list(...args)),
    changes: (...args) => stream(() => store().changes(...args)),
    changeNumbers: (...args) => call(() => store().changeNumbers(...args)),
    annotate: (...args) => call(() => store().annotate(...args)),
    delete: (...args) => call(() => store().delete(...args)),
    moveOut: (...args) => call(() => store().moveOut(...args)),
    copyIn: (...args) => call(() => store().copyIn(...args)),
    setReplication: (...args) => call(() => store().setReplication(...args)),
    stats: (...args) => call(() => store().stats(...args)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function failingUpload(upload: Upload, call: <T>(act: () => Promise<T>) => Promise<T>): Upload {
  return Object.create(upload, {
    append: { value: (batch: Parameters<Upload['append']>[0]) => call(() => upload.append(batch)) },
    sync: { value: () => call(() => upload.sync()) },
    commit: { value: (spec: Parameters<Upload['commit']>[0]) => call(() => upload.commit(spec)) },
    [Symbol.asyncDispose]: { value: () => upload[Symbol.asyncDispose]() },
  }) as Upload;
}
