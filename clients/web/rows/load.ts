import type { LoadHeader } from '../../../proto/gen/optistore/v1/storage_service_pb.js';
import { daemon } from '../connection/daemon.js';
import { explain } from '../connection/errors.js';
import { heard } from '../connection/heard.js';
import { pause, retryDelayMs } from '../connection/wait.js';
import { ROWS_MAX, RowsBuilder, type RunRows } from './run-rows.js';

/** A run as it was loaded. */
export interface LoadedRun {
  readonly header: LoadHeader;
  readonly rows: RunRows;
}

export interface LoadOptions {
  readonly signal: AbortSignal;
  /** Absent: the newest. */
  readonly revision?: bigint;
  /** Tells how many rows are here, of how many that come. */
  readonly onProgress?: (rowCount: number, total: number) => void;
}

const TRIES_MAX = 5;
const FIRST_WAIT_MS = 300;
const WAIT_MS_MAX = 3000;
/** A sample of a very large run is chosen before its first row comes, and behind those of others. */
const FIRST_WORD_MS_MAX = 120_000;

/** Loads a run, or a sample of one that is larger than the page keeps; goes on where a broken stream was. Throws what `explain` knows. */
export async function loadRun(key: string, { signal, revision, onProgress }: LoadOptions): Promise<LoadedRun> {
  const load = new RunLoad(key, revision, onProgress);
  for (let tries = 1; ; tries++) {
    try {
      return await load.goOn(signal);
    } catch (error) {
      if (signal.aborted || !explain(error).isRetryable || tries === TRIES_MAX) throw error;
      await pause(retryDelayMs(tries - 1, FIRST_WAIT_MS, WAIT_MS_MAX), signal);
    }
  }
}

class RunLoad {
  private header: LoadHeader | undefined;
  private builder: RowsBuilder | undefined;

  constructor(
    private readonly key: string,
    private revision: bigint | undefined,
    private readonly onProgress: LoadOptions['onProgress'],
  ) {}

  async goOn(signal: AbortSignal): Promise<LoadedRun> {
    const { key, revision, builder } = this;
    const request = {
      key,
      sampleRows: ROWS_MAX,
      ...(revision !== undefined && { revision }),
      ...(builder !== undefined && { firstRow: BigInt(builder.totalRowCount) }),
    };
    const open = (ending: AbortSignal) => daemon.loadResult(request, { signal: ending });
    for await (const { message } of heard(open, signal, FIRST_WORD_MS_MAX)) {
      if (message.case === 'header') this.begin(message.value);
      else if (message.case === 'batch') this.take(message.value);
      else if (message.case === 'trailer') return this.loaded();
    }
    throw new TypeError('The load ended before its last row.');
  }

  private begin(header: LoadHeader): void {
    if (this.header !== undefined) return;
    this.header = header;
    this.revision = header.result?.revision;
    this.builder = new RowsBuilder(header.variables, Number(header.rowCount), header.sample);
    this.onProgress?.(0, Number(header.rowCount));
  }

  private take(batch: Parameters<RowsBuilder['append']>[0]): void {
    this.builder?.append(batch);
    this.onProgress?.(this.builder?.totalRowCount ?? 0, Number(this.header?.rowCount ?? 0n));
  }

  private loaded(): LoadedRun {
    const { header, builder } = this;
    if (header === undefined || builder === undefined) throw new TypeError('The load had no header.');
    const total = header.sample === undefined ? builder.totalRowCount : Number(header.result?.rowCount ?? 0n);
    return { header, rows: builder.rows(total) };
  }
}
