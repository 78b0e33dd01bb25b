/** The twin of `kernels/integer-product.ts`: one invocation for each sum. */
import {
  groupsFor,
  INVOCATION,
  numberOf,
  type Operand,
  operandOf,
  shaderText,
  spaceName,
  type Twin,
} from './shader.ts';

/** `i32_product(n, x, y, a, offsets, rows, cols, yRow)` */
export const integerProductTwin: Twin = (args) => {
  const [n, rows, cols, yRow] = [0, 5, 6, 7].map((i) => numberOf(args, i)) as [number, number, number, number];
  const [x, y, a, offsets] = [1, 2, 3, 4].map((i) => operandOf(args, i)) as [Operand, Operand, Operand, Operand];
  const name = `i32_product__${spaceName(x)}${spaceName(a)}`;
  const total = n * rows;
  const code = () =>
    shaderText(name, ['total', 'n', 'x', 'y', 'a', 'offsets', 'cols', 'yRow'], {
      body: [
        `let i = ${INVOCATION};`,
        'if (i >= args.total) { return; }',
        'let row = i / args.n;',
        'let column = i % args.n;',
        'var sum = 0;',
        'for (var k = 0; k < args.cols; k++) {',
        `  let origin = args.x + (bitcast<i32>(${offsets.space}[args.offsets + k]) >> 2u) + column;`,
        `  sum += bitcast<i32>(${a.space}[args.a + row * args.cols + k]) * bitcast<i32>(${x.space}[origin]);`,
        '}',
        'arena[args.y + row * args.yRow + column] = bitcast<u32>(sum);',
      ],
    });
  const words = [x, y, a, offsets].map(({ byte }) => byte / 4);
  return [{ shader: { name, code }, groups: groupsFor(total), args: [total, n, ...words, cols, yRow / 4] }];
};
