/** Twins of the kernels that walk planes: depthwise convolution, pooling, taking rows apart. */
import { type Epilogue, epilogueName } from '../kernels/family.ts';
import { finishText } from './epilogue.ts';
import { float, GROUP, numberOf, type Operand, operandOf, shaderText, spaceName, type Twin, wordOf } from './shader.ts';

/** Arguments of a walk through planes. */
const WALK = ['n', 'x', 'y', 'xChannel', 'yChannel', 'offsets', 'taps'];

/** The position in a plane, and the plane, of an invocation. */
const PLACE = [
  `let n = i32(group.x * ${GROUP}u + lane);`,
  'let channel = i32(group.y);',
  `if (n >= args.n) { return; }`,
];

function groupsOf(n: number, channels: number): readonly [number, number, number] {
  return [Math.ceil(n / GROUP), channels, 1];
}

/** The word of element `n` of the channel at tap `tap`. */
function tapText(offsets: Operand): string {
  return `args.x + channel * args.xChannel + n + (bitcast<i32>(${offsets.space}[args.offsets + tap]) >> 2u)`;
}

/** Of `depthwise(n, x, y, xChannel, yChannel, residual, channels, weights, offsets, taps)`. */
export function depthwiseTwin(epilogue: Epilogue): Twin {
  return (args) => {
    const [n, xChannel, yChannel, channels, taps] = [0, 3, 4, 6, 9].map((i) => numberOf(args, i)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const [x, y, weights, offsets] = [1, 2, 7, 8].map((i) => operandOf(args, i)) as [
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const residual = epilogue.residual ? operandOf(args, 5) : undefined;
    const numbers = [
      ...[n, wordOf(x), wordOf(y), xChannel / 4, yChannel / 4, wordOf(offsets), taps, wordOf(weights)],
      residual ? wordOf(residual) : 0,
    ];
    const spaces = [x, weights, ...(residual ? [residual] : [])].map(spaceName).join('');
    const name = `f32_depthwise${epilogueName(epilogue)}__${spaces}`;
    const code = () =>
      shaderText(name, [...WALK, 'weights', 'residual'], {
        body: [
          ...PLACE,
          `let first = args.weights + channel * (args.taps + 1);`,
          `var y = ${float(weights.space, 'first')};`,
          `for (var tap = 0; tap < args.taps; tap++) {`,
          `  y += ${float(weights.space, 'first + 1 + tap')} * ${float(x.space, tapText(offsets))};`,
          '}',
          `let at = channel * args.yChannel + n;`,
          ...(residual ? [`y += ${float(residual.space, `args.residual + at`)};`] : []),
          ...finishText(epilogue, 'y'),
          `arena[args.y + at] = bitcast<u32>(y);`,
        ],
      });
    return [{ shader: { name, code }, groups: groupsOf(n, channels), args: numbers }];
  };
}

/** Of `pool(n, x, y, xChannel, yChannel, channels, offsets, taps)`. */
export function poolTwin(reduce: 'max' | 'sum'): Twin {
  return (args) => {
    const [n, xChannel, yChannel, channels, taps] = [0, 3, 4, 5, 7].map((i) => numberOf(args, i)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const [x, y, offsets] = [1, 2, 6].map((i) => operandOf(args, i)) as [Operand, Operand, Operand];
    const numbers = [n, wordOf(x), wordOf(y), xChannel / 4, yChannel / 4, wordOf(offsets), taps];
    const name = `f32_pool_${reduce}__${spaceName(x)}`;
    const code = () =>
      shaderText(name, WALK, {
        body: [
          ...PLACE,
          'var y = 0.0;',
          `for (var tap = 0; tap < args.taps; tap++) {`,
          `  let x = ${float(x.space, tapText(offsets))};`,
          `  y = select(${reduce === 'max' ? 'max(y, x)' : 'y + x'}, x, tap == 0);`,
          '}',
          `arena[args.y + channel * args.yChannel + n] = bitcast<u32>(y);`,
        ],
      });
    return [{ shader: { name, code }, groups: groupsOf(n, channels), args: numbers }];
  };
}

/** Of `halve(x, even, odd, n, rows, channels, xRow, yRow, xChannel, yChannel)`; the last two from the end of a channel. */
export const halveTwin: Twin = (args) => {
  const [n, rows, channels, xRow, yRow, xEnd, yEnd] = [3, 4, 5, 6, 7, 8, 9].map((i) =>
    numberOf(args, i),
  ) as number[] as [number, number, number, number, number, number, number];
  const [x, even, odd] = [0, 1, 2].map((i) => operandOf(args, i)) as [Operand, Operand, Operand];
  const channel = (end: number, row: number) => (end + rows * row) / 4;
  const numbers = [
    ...[n * rows, n, wordOf(x), wordOf(even), wordOf(odd), xRow / 4, yRow / 4],
    ...[channel(xEnd, xRow), channel(yEnd, yRow)],
  ];
  const name = `b32_halve__${spaceName(x)}`;
  const code = () =>
    shaderText(name, ['n', 'width', 'x', 'even', 'odd', 'xRow', 'yRow', 'xChannel', 'yChannel'], {
      body: [
        ...PLACE,
        `let row = n / args.width;`,
        `let i = n % args.width;`,
        `let source = args.x + channel * args.xChannel + row * args.xRow + 2 * i;`,
        `let to = channel * args.yChannel + row * args.yRow + i;`,
        `arena[args.even + to] = ${x.space}[source];`,
        `arena[args.odd + to] = ${x.space}[source + 1];`,
      ],
    });
  return [{ shader: { name, code }, groups: groupsOf(n * rows, channels), args: numbers }];
};
