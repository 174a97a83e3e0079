import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { ManifestSchema } from '../../proto/gen/optistore/storage/v1/manifest_pb.js';
import { Origins } from '../../server/manager/origins.js';

test('what one caller is told of a shared manifest stays true when another is told otherwise', () => {
  const origins = new Origins();
  const shared = create(ManifestSchema, { key: 'k', revision: 3n });
  const first = origins.mark(shared, 'secondary', true);
  const second = origins.mark(shared, 'secondary', false);
  expect(origins.of(first)).toEqual({ role: 'secondary', isStale: true });
  expect(origins.of(second)).toEqual({ role: 'secondary', isStale: false });
  expect(second).toEqual(shared);
  expect(origins.mark(shared, 'secondary', true)).toBe(shared);
});
