import { randomUUID } from 'node:crypto';
import type { SaveOpen } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { StorageError } from '../../errors.js';
import { TOKEN_UPLOADS_MAX } from '../../limits.js';
import { KeyTurns } from '../../manager/migration/key-turns.js';
import type { StorageManager } from '../../manager/storage-manager.js';
import { described, type Caller } from './caller.js';

/** What a save gives back when its upload is in the list of uploads, or was refused. */
export type GiveBack = () => void;

/** How many uploads each token may have open; those that are being opened count before any list has them. */
export class UploadPlaces {
  private readonly opening = new Map<string, Set<string>>();
  // Two that count at once would not see each other.
  private readonly turns = new KeyTurns();

  constructor(private readonly manager: StorageManager) {}

  /** A place for an upload that is not there yet; one that is resumed needs none. TOO_MANY_UPLOADS. */
  take(open: SaveOpen, caller: Caller, signal: AbortSignal): Promise<GiveBack> {
    return this.turns.run(caller.name, signal, async () => {
      // Without an id of its own it would be counted twice while it is opened.
      open.uploadId ||= randomUUID();
      const { uploadId } = open;
      const others = new Set(this.opening.get(caller.name));
      for await (const upload of this.manager.uploads({ prefix: caller.prefix }, signal)) {
        if (upload.uploadId === uploadId) return () => undefined;
        if (upload.createdBy === caller.name) others.add(upload.uploadId);
      }
      others.delete(uploadId);
      if (others.size >= TOKEN_UPLOADS_MAX) throw tooMany(caller, others.size);
      return this.hold(uploadId, caller);
    });
  }

  private hold(uploadId: string, { name }: Caller): GiveBack {
    const held = this.opening.get(name) ?? new Set();
    this.opening.set(name, held.add(uploadId));
    return () => {
      held.delete(uploadId);
      if (held.size === 0 && this.opening.get(name) === held) this.opening.delete(name);
    };
  }
}

function tooMany(caller: Caller, count: number): StorageError {
  return new StorageError(
    'TOO_MANY_UPLOADS',
    `One more upload was asked for, but ${described(caller)} and has ${count} open; at most ${TOKEN_UPLOADS_MAX} are possible. Commit or abort some; \`optistore uploads\` lists them.`,
  );
}
