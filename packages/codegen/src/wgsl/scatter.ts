/**
 * Twins of the kernels that write at places which another value names.
 *
 * Where updates may meet at one place they must be taken in order: an invocation then walks along what may meet (an axis, or
 * the list of tuples) and stands for one of what cannot. Plain tuples do not meet, as ONNX asks: each has an invocation for
 * every word.
 */
import { bytesPerElement, type DType } from '@grim/ir';
import { isUnsigned, repOf } from '../map/expression.ts';
import { bitsText, inUnits, loadText, storeBits, storedText } from './elements.ts';
import { TYPES } from './expression.ts';
import { type Elements, indexFunction, tupleLines } from './gather.ts';
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
import { offsetText, placeLines, walkNames, walkNumbers } from './walk.ts';
import { wideFunctions } from './wide.ts';

export type Reduction = 'none' | 'add' | 'mul' | 'min' | 'max';

interface Combined {
  /** Functions that the lines call. */
  readonly functions: readonly string[];
  /** They store at `at` (in units) what becomes of the elements there and at `origin`. */
  readonly lines: readonly string[];
}

function combined(dtype: DType, reduction: Reduction, updates: Operand['space']): Combined {
  const bytes = bytesPerElement(dtype);
  const shared = bytes < 4;
  const unit = Math.min(bytes, 4);
  if (reduction === 'none')
    return {
      functions: [],
      lines: [
        ...storeBits(unit, 'at', bitsText(updates, unit, 'origin', shared)),
        ...(bytes === 8 ? [`arena[at + 1] = ${updates}[origin + 1];`] : []),
      ],
    };
  const rep = repOf(dtype);
  const sign = isUnsigned(dtype) ? 'u' : 's';
  const uses: string[] = [];
  const call = (name: string, a: string, b: string) => {
    uses.push(name);
    return `${name}(${a}, ${b})`;
  };
  const exact = reduction === 'add' || reduction === 'mul';
  const value =
    rep === 'f64'
      ? call(`f64_${reduction}`, 'a', 'b')
      : rep === 'i64'
        ? exact
          ? call(`${reduction}64`, 'a', 'b')
          : `select(a, b, ${reduction === 'min' ? call(`lt64_${sign}`, 'b', 'a') : call(`lt64_${sign}`, 'a', 'b')})`
        : exact
          ? `a ${reduction === 'add' ? '+' : '*'} b`
          : rep === 'i32' && sign === 'u'
            ? `bitcast<i32>(${reduction}(u32(a), u32(b)))`
            : `${reduction}(a, b)`;
  return {
    functions: wideFunctions(uses),
    lines: [
      `let a: ${TYPES[rep]} = ${loadText('arena', dtype, 'at', shared)};`,
      `let b: ${TYPES[rep]} = ${loadText(updates, dtype, 'origin', shared)};`,
      `let y: ${TYPES[rep]} = ${value};`,
      ...(bytes === 8 ? ['arena[at] = y.x;', 'arena[at + 1] = y.y;'] : storeBits(bytes, 'at', storedText(dtype, 'y'))),
    ],
  };
}

/** An index space over the updates without the axis, and that axis. */
export interface ElementLines extends Elements {
  /** Elements along the axis, and the byte strides of indices and updates there. */
  readonly count: number;
  readonly along: readonly [indices: number, updates: number];
}

/** `scatter_elements(out, indices, updates, length, step, …)`; the walk says the rest. */
export function scatterElementsTwin(dtype: DType, reduction: Reduction, walk: ElementLines): Twin {
  const { bytes, wide, lengths, count, along } = walk;
  const shared = bytes < 4;
  return (args) => {
    const [out, indices, updates] = [0, 1, 2].map((i) => operandOf(args, i)) as [Operand, Operand, Operand];
    const [length, step] = [numberOf(args, 3), numberOf(args, 4)];
    const total = lengths.reduce((product, dim) => product * dim, 1);
    const { functions, lines } = combined(dtype, reduction, updates.space);
    const type = reduction === 'none' ? `b${8 * bytes}` : dtype;
    const name = `${type}_scatter_elements_${reduction}_i${wide ? 64 : 32}__${lengths.length}d_${spaceName(indices)}${spaceName(updates)}`;
    const own = ['total', 'out', 'indices', 'updates', 'length', 'step', 'count', 'nextIndex', 'nextUpdate'];
    const code = () =>
      shaderText(name, [...own, ...walkNames(walk)], {
        shared,
        globals: [indexFunction(indices.space, wide, shared), ...functions],
        body: [
          `let n = ${INVOCATION};`,
          'if (n >= args.total) { return; }',
          ...placeLines(walk, 'n'),
          `let line = args.out${offsetText(walk, 0)};`,
          `var index = args.indices${offsetText(walk, 1)};`,
          `var origin = args.updates${offsetText(walk, 2)};`,
          'for (var k = 0; k < args.count; k++) {',
          '  let at = line + indexAt(index, args.length) * args.step;',
          ...lines.map((text) => `  ${text}`),
          '  index += args.nextIndex;',
          '  origin += args.nextUpdate;',
          '}',
        ],
      });
    return [
      {
        shader: { name, code },
        groups: groupsFor(total),
        args: [
          ...[total, inUnits(dtype, out.byte), indices.byte / 4, inUnits(dtype, updates.byte), length],
          ...[inUnits(dtype, step), count, along[0] / 4, inUnits(dtype, along[1])],
          ...walkNumbers(walk, [dtype, 'int32', dtype]),
        ],
      },
    ];
  };
}

/** `scatter_tuples(out, updates, indices, count, size, tuple, table)` */
export function scatterTuplesTwin(dtype: DType, reduction: Reduction): Twin {
  return (args) => {
    const [out, updates, indices, table] = [0, 1, 2, 6].map((i) => operandOf(args, i)) as [
      Operand,
      Operand,
      Operand,
      Operand,
    ];
    const [count, size, tuple] = [3, 4, 5].map((i) => numberOf(args, i)) as [number, number, number];
    const plain = reduction === 'none';
    // Pieces are counted in bytes without a reduction: words where they are whole ones.
    const words = size % 4 === 0 && out.byte % 4 === 0 && updates.byte % 4 === 0;
    const type: DType = plain ? (words ? 'int32' : 'uint8') : dtype;
    const bytes = bytesPerElement(type);
    const unit = bytes < 4 ? 1 : 4;
    const per = bytes / unit;
    const elements = plain ? size / bytes : size;
    const total = plain ? count * elements : elements;
    const { functions, lines } = combined(type, reduction, updates.space);
    const name = `${type}_scatter_tuples_${reduction}__${spaceName(updates)}${spaceName(indices)}`;
    const one = (tupleAt: string, element: string) => [
      `var at = args.out + ${element} * ${per};`,
      `let origin = args.updates + (${tupleAt} * args.size + ${element}) * ${per};`,
      ...tupleLines(`args.indices + 2 * ${tupleAt} * args.tuple`, table, unit),
      ...lines,
    ];
    const code = () =>
      shaderText(name, ['total', 'out', 'updates', 'indices', 'count', 'size', 'tuple', 'table'], {
        shared: bytes < 4,
        globals: [indexFunction(indices.space, true, bytes < 4), ...functions],
        body: [
          `let n = ${INVOCATION};`,
          'if (n >= args.total) { return; }',
          ...(plain
            ? ['let t = n / args.size;', 'let e = n % args.size;', ...one('t', 'e')]
            : ['for (var t = 0; t < args.count; t++) {', ...one('t', 'n').map((text) => `  ${text}`), '}']),
        ],
      });
    const starts = [out.byte / unit, updates.byte / unit, indices.byte / 4];
    return [
      {
        shader: { name, code },
        groups: groupsFor(total),
        args: [total, ...starts, count, elements, tuple, table.byte / 4],
      },
    ];
  };
}
