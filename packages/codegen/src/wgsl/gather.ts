/**
 * Twins of the kernels that read at places which another value names: one invocation for each word that is written, or for
 * each byte where a piece is no whole number of words.
 */
import { bitsText, storeBits } from './elements.ts';
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
import { offsetText, placeLines, type Walk, walkNames, walkNumbers } from './walk.ts';

/**
 * A function that loads the index at word `at`: what counts from the end is made to count from the start, and what lies
 * outside is brought inside.
 */
export function indexFunction(space: Operand['space'], wide: boolean, shared: boolean): string {
  const word = (at: string) => `bitcast<i32>(${bitsText(space, 4, at, shared)})`;
  return [
    'fn indexAt(at: i32, length: i32) -> i32 {',
    `  var i = ${word('at')};`,
    ...(wide
      ? [
          `  let high = ${word('at + 1')};`,
          '  if (high != (i >> 31u)) { i = select(2147483647, -2147483647 - 1, high < 0); }',
        ]
      : []),
    '  return clamp(select(i, i + length, i < 0), 0, length - 1);',
    '}',
  ].join('\n');
}

/** How pieces are copied: whole words, or bytes that are put into words. */
interface Grain {
  readonly bytes: 4 | 1;
  readonly name: string;
}

function grainOf(piece: number, ...operands: readonly Operand[]): Grain {
  const words = piece % 4 === 0 && operands.every(({ byte }) => byte % 4 === 0);
  return words ? { bytes: 4, name: 'b32' } : { bytes: 1, name: 'b8' };
}

/** `gather(out, data, indices, outer, length, count, bytes)` */
export function gatherTwin(wide: boolean): Twin {
  return (args) => {
    const [out, data, indices] = [0, 1, 2].map((i) => operandOf(args, i)) as [Operand, Operand, Operand];
    const [outer, length, count, bytes] = [3, 4, 5, 6].map((i) => numberOf(args, i)) as [
      number,
      number,
      number,
      number,
    ];
    const grain = grainOf(bytes, out, data);
    const piece = bytes / grain.bytes;
    const total = outer * count * piece;
    const shared = grain.bytes === 1;
    const name = `${grain.name}_gather_i${wide ? 64 : 32}__${spaceName(data)}${spaceName(indices)}`;
    const code = () =>
      shaderText(name, ['total', 'out', 'data', 'indices', 'length', 'count', 'piece'], {
        shared,
        globals: [indexFunction(indices.space, wide, shared)],
        body: [
          `let to = ${INVOCATION};`,
          'if (to >= args.total) { return; }',
          'let place = to / args.piece;',
          `let index = indexAt(args.indices + ${wide ? 2 : 1} * (place % args.count), args.length);`,
          'let origin = args.data + ((place / args.count) * args.length + index) * args.piece + to % args.piece;',
          `let bits = ${bitsText(data.space, grain.bytes, 'origin', shared)};`,
          ...storeBits(grain.bytes, 'args.out + to', 'bits'),
        ],
      });
    const starts = [out.byte / grain.bytes, data.byte / grain.bytes, indices.byte / 4];
    return [{ shader: { name, code }, groups: groupsFor(total), args: [total, ...starts, length, count, piece] }];
  };
}

/** An index space of elements of `bytes`; its operands are what is written, the indices, and the elements. */
export interface Elements extends Walk {
  readonly bytes: number;
  /** Indices are int64. */
  readonly wide: boolean;
}

/** `gather_elements(out, indices, data, length, step, …)`; the walk says the rest. */
export function gatherElementsTwin(walk: Elements): Twin {
  const { bytes, wide, lengths } = walk;
  return (args) => {
    const [out, indices, data] = [0, 1, 2].map((i) => operandOf(args, i)) as [Operand, Operand, Operand];
    const [length, step] = [numberOf(args, 3), numberOf(args, 4)];
    const unit = Math.min(bytes, 4);
    const scale = bytes < 4 ? 1 : 4;
    const total = lengths.reduce((product, dim) => product * dim, 1);
    const shared = bytes < 4;
    const name = `b${8 * bytes}_gather_elements_i${wide ? 64 : 32}__${lengths.length}d_${spaceName(indices)}${spaceName(data)}`;
    const code = () =>
      shaderText(name, ['total', 'out', 'indices', 'data', 'length', 'step', ...walkNames(walk)], {
        shared,
        globals: [indexFunction(indices.space, wide, shared)],
        body: [
          `let n = ${INVOCATION};`,
          'if (n >= args.total) { return; }',
          ...placeLines(walk, 'n'),
          `let index = indexAt(args.indices${offsetText(walk, 1)}, args.length);`,
          `let origin = args.data + index * args.step${offsetText(walk, 2)};`,
          `let place = args.out${offsetText(walk, 0)};`,
          ...storeBits(unit, 'place', bitsText(data.space, unit, 'origin', shared)),
          ...(bytes === 8 ? [`arena[place + 1] = ${data.space}[origin + 1];`] : []),
        ],
      });
    const type = bytes < 4 ? 'uint8' : 'int32';
    return [
      {
        shader: { name, code },
        groups: groupsFor(total),
        args: [
          ...[total, out.byte / scale, indices.byte / 4, data.byte / scale, length, step / scale],
          ...walkNumbers(walk, [type, 'int32', type]),
        ],
      },
    ];
  };
}

/** Lines that add to `var at`, in units of `scale` bytes, what the tuple at word `from` points to. */
export function tupleLines(from: string, table: Operand, scale: number): string[] {
  const entry = (i: number) => `i32(${table.space}[args.table + 2 * part + ${i}])`;
  return [
    'for (var part = 0; part < args.tuple; part++) {',
    `  at += indexAt(${from} + 2 * part, ${entry(0)}) * (${entry(1)} / ${scale});`,
    '}',
  ];
}

/** `gather_tuples(out, data, indices, batches, batch, count, bytes, tuple, table)` */
export const gatherTuplesTwin: Twin = (args) => {
  const [out, data, indices, table] = [0, 1, 2, 8].map((i) => operandOf(args, i)) as [
    Operand,
    Operand,
    Operand,
    Operand,
  ];
  const [batches, batch, count, bytes, tuple] = [3, 4, 5, 6, 7].map((i) => numberOf(args, i)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const grain = grainOf(bytes, out, data);
  const shared = grain.bytes === 1;
  const piece = bytes / grain.bytes;
  const total = batches * count * piece;
  const name = `${grain.name}_gather_tuples__${spaceName(data)}${spaceName(indices)}`;
  const code = () =>
    shaderText(name, ['total', 'out', 'data', 'indices', 'batch', 'count', 'piece', 'tuple', 'table'], {
      shared,
      globals: [indexFunction(indices.space, true, shared)],
      body: [
        `let to = ${INVOCATION};`,
        'if (to >= args.total) { return; }',
        'let place = to / args.piece;',
        'var at = args.data + (place / args.count) * args.batch + to % args.piece;',
        ...tupleLines('args.indices + 2 * place * args.tuple', table, grain.bytes),
        `let bits = ${bitsText(data.space, grain.bytes, 'at', shared)};`,
        ...storeBits(grain.bytes, 'args.out + to', 'bits'),
      ],
    });
  const starts = [out.byte / grain.bytes, data.byte / grain.bytes, indices.byte / 4];
  const numbers = [total, ...starts, batch / grain.bytes, count, piece, tuple, table.byte / 4];
  return [{ shader: { name, code }, groups: groupsFor(total), args: numbers }];
};
