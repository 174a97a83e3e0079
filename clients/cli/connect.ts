import { createClient, type OptistoreClient } from '../typescript/index.js';

/** A client of the daemon that `--server` names, else of the default one. */
export function connect(flags: { readonly server?: string }): OptistoreClient {
  return createClient(flags.server === undefined ? {} : { address: flags.server });
}
