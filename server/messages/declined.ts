/** Thrown where a message is not of the usual kind: protobuf-es takes it, or says what is wrong with it. */
export const DECLINED = new Error('left to protobuf-es');

/** What an act gives; where it declines, what another one gives. */
export function unlessDeclined<T>(act: () => T, instead: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error !== DECLINED) throw error;
    return instead();
  }
}

/** What an act of protobuf-es gives; where it fails, the whole message is left to it. */
export function orDecline<T>(act: () => T): T {
  try {
    return act();
  } catch {
    throw DECLINED;
  }
}
