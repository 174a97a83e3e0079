/** How far is read ahead. */
export interface AheadLimits {
  readonly bytesMax: number;
  readonly countMax: number;
}

/**
 * Reads one thing after the other, in their order, and begins with those behind it before it is pulled: with the next one in any
 * case, with more as far as the limits go. `bytesOf`: what one takes.
 */
export async function* readAhead<Item, Read>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  read: (item: Item) => Promise<Read>,
  { bytesMax, countMax }: AheadLimits,
): AsyncGenerator<Read> {
  const begun: { readonly value: Promise<Read>; readonly byteLength: number }[] = [];
  let begunBytes = 0;
  let next = 0;
  try {
    for (;;) {
      for (; next < items.length && begun.length < countMax; next++) {
        const item = items[next] as Item;
        const byteLength = bytesOf(item);
        if (begun.length >= 2 && begunBytes + byteLength > bytesMax) break;
        const value = read(item);
        // Its failure is seen when it is awaited; until then it must not count as unhandled.
        value.catch(() => undefined);
        begun.push({ value, byteLength });
        begunBytes += byteLength;
      }
      const first = begun.shift();
      if (first === undefined) return;
      begunBytes -= first.byteLength;
      yield await first.value;
    }
  } finally {
    await Promise.allSettled(begun.map(({ value }) => value));
  }
}
