import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Channel } from '../../../clients/typescript/channel.js';
import { ProblemSchema, type VariableSchema } from '../../../proto/gen/optistore/v1/problem_pb.js';
import { SaveResultRequestSchema } from '../../../proto/gen/optistore/v1/storage_service_pb.js';

/** Saves rows, a message each, as a client that gathers nothing does. */
export async function oneRowMessages(
  address: string,
  key: string,
  variables: readonly MessageInitShape<typeof VariableSchema>[],
  rowCount: number,
): Promise<void> {
  const channel = new Channel(address);
  const stream = channel.save();
  const send = (message: MessageInitShape<typeof SaveResultRequestSchema>['message']) =>
    stream.write(create(SaveResultRequestSchema, { message: message as never }));
  const value = new Uint8Array(Float64Array.of(0.5).buffer);
  const columns = variables.map(() => ({
    $typeName: 'optistore.v1.Column' as const,
    values: { case: 'float64Values' as const, value },
    validity: new Uint8Array(0),
    padding: new Uint8Array(0),
  }));
  const committed = (async () => {
    for await (const { message } of stream) if (message.case === 'committed') return message.value.result?.rowCount;
    return undefined;
  })();
  send({
    case: 'open',
    value: { key, problem: create(ProblemSchema, { variables: [...variables] }) },
  });
  for (let row = 0; row < rowCount; row++) {
    const value = { $typeName: 'optistore.v1.RowBatch' as const, firstRow: BigInt(row), rowCount: 1, columns };
    const room = stream.write({ $typeName: 'optistore.v1.SaveResultRequest', message: { case: 'batch', value } });
    if (!room) await stream.drained();
  }
  send({ case: 'commit', value: { rowCount: BigInt(rowCount) } });
  stream.end();
  if ((await committed) !== BigInt(rowCount)) throw new Error('not all rows were committed');
  channel.close();
}
