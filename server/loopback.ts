import { isIPv4 } from 'node:net';

/**
 * Whether nothing that is sent to an address, such as `127.0.0.1:50051`, leaves the machine. Names that only begin as one of
 * the loopback do (`127.0.0.1.example.org`) are others'.
 */
export function isLoopback(address: string): boolean {
  const host = address.replace(/:\d+$/, '');
  return host === 'localhost' || host === '[::1]' || (host.startsWith('127.') && isIPv4(host));
}
