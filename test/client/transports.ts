import { createClient, type DaemonClientOptions, type OptistoreClient } from '../../clients/typescript/index.js';
import { connectTransport } from '../../clients/typescript/connect-transport.js';

/** Makes a client from options that any transport has. */
export type MakeClient = (options: DaemonClientOptions) => OptistoreClient;

/** A client whose transport is closed with it. */
export function connectClient(options: DaemonClientOptions): OptistoreClient {
  const { retryMs } = options;
  const transport = connectTransport(options);
  const client = createClient({ transport, ...(retryMs !== undefined && { retryMs }) });
  const close = client.close.bind(client);
  return Object.assign(client, {
    close: () => {
      close();
      transport.close();
    },
  });
}

/** The transports that a client may have: what holds of one holds of the other. */
export const TRANSPORTS: readonly (readonly [name: string, make: MakeClient])[] = [
  ['grpc-js', createClient],
  ['Connect', connectClient],
];
