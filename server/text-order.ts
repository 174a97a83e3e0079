/** Orders keys by their UTF-8 bytes, which is the order of code points but not of UTF-16 units. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate stands for a code point above all that are one unit.
    const isLargeX = (x & 0xf800) === 0xd800;
    const isLargeY = (y & 0xf800) === 0xd800;
    return isLargeX === isLargeY ? x - y : isLargeX ? 1 : -1;
  }
  return a.length - b.length;
}
