/** Closes one after the other, each also where one before it fails to close; then fails as the first of those. */
export async function closeAll(all: readonly (AsyncDisposable | undefined)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const one of all) {
    try {
      await one?.[Symbol.asyncDispose]();
    } catch (failure) {
      failures.push(failure);
    }
  }
  if (failures.length > 0) throw failures[0];
}
