/** How the daemon is. */
export function StatusView() {
  return <h1>Status</h1>;
}
