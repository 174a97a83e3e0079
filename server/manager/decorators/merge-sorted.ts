/**
 * Two ordered sequences as one, in their order. Of two items at the same place the upper one's is told, and the lower one's is passed
 * over. Reads one item ahead of each.
 */
export async function* mergeSorted<T>(
  upper: AsyncIterable<T>,
  lower: AsyncIterable<T>,
  compare: (a: T, b: T) => number,
): AsyncGenerator<{ readonly item: T; readonly isUpper: boolean }> {
  const [above, below] = [upper[Symbol.asyncIterator](), lower[Symbol.asyncIterator]()];
  try {
    let [a, b] = await Promise.all([above.next(), below.next()]);
    while (a.done !== true || b.done !== true) {
      const order = a.done === true ? 1 : b.done === true ? -1 : compare(a.value, b.value);
      if (order <= 0 && a.done !== true) {
        yield { item: a.value, isUpper: true };
        a = await above.next();
        if (order === 0) b = await below.next();
      } else if (b.done !== true) {
        yield { item: b.value, isUpper: false };
        b = await below.next();
      }
    }
  } finally {
    await Promise.all([above.return?.(), below.return?.()]);
  }
}
