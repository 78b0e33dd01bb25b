/** The twin of `kernels/resample.ts`: one invocation for each element. A table besides says where the taps of each begin. */
import {
  float,
  groupsFor,
  INVOCATION,
  numberOf,
  type Operand,
  operandOf,
  shaderText,
  spaceName,
  type Twin,
} from './shader.ts';

/** `resample(out, data, table, outer, block, to, inner)`; the words of the table at which the entries begin follow. */
export const resampleTwin: Twin = (args) => {
  const [out, data, table, starts] = [0, 1, 2, 7].map((i) => operandOf(args, i)) as [
    Operand,
    Operand,
    Operand,
    Operand,
  ];
  const [outer, block, to, inner] = [3, 4, 5, 6].map((i) => numberOf(args, i)) as [number, number, number, number];
  const total = outer * to * inner;
  const name = `f32_resample__${spaceName(data)}`;
  const code = () =>
    shaderText(name, ['total', 'out', 'data', 'table', 'starts', 'block', 'to', 'inner'], {
      body: [
        `let i = ${INVOCATION};`,
        'if (i >= args.total) { return; }',
        'let line = i / args.inner;',
        'let origin = args.data + (line / args.to) * args.block + i % args.inner;',
        `var tap = args.table + i32(${starts.space}[args.starts + line % args.to]);`,
        `let taps = i32(${table.space}[tap]);`,
        'var sum = 0.0;',
        'for (var t = 0; t < taps; t++) {',
        `  let at = origin + (bitcast<i32>(${table.space}[tap + 1]) >> 2u);`,
        `  sum += ${float(table.space, 'tap + 2')} * ${float(data.space, 'at')};`,
        '  tap += 2;',
        '}',
        'arena[args.out + i] = bitcast<u32>(sum);',
      ],
    });
  const words = [out, data, table, starts].map(({ byte }) => byte / 4);
  return [{ shader: { name, code }, groups: groupsFor(total), args: [total, ...words, block / 4, to, inner] }];
};
