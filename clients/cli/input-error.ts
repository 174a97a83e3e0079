/** Input that can't be used; the message says where and what was expected. */
export class InputError extends Error {
  override readonly name = 'InputError';
}
