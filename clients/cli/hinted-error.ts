/** A failure about which more is known than its reason tells: what to do next. */
export class HintedError extends Error {
  override readonly name = 'HintedError';

  constructor(
    override readonly cause: unknown,
    /** Behind what the reason itself says to do, unless `isAll`. */
    readonly hint: string,
    readonly isAll = false,
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
