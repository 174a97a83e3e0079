/** A save in progress. */
export function LiveView({ runKey }: { readonly runKey: string }) {
  return <h1>{runKey}</h1>;
}
