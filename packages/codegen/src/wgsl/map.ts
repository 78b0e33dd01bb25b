/**
 * The twin of `map/kernel.ts`: one invocation for each element, or, of neighbours of less than a word, for each word. Narrow
 * elements that are no neighbours are put into their words by atomic operations.
 *
 * Neighbouring invocations take neighbouring elements, so dense operands are read in whole lines.
 */
import { bytesPerElement, type DType } from '@grim/ir';
import type { Expression, Shape } from '../map/expression.ts';
import type { Loops } from '../map/loops.ts';
import { bitsText, inUnits, loadText, storeBits, storedText } from './elements.ts';
import { unspellable, writeExpression } from './expression.ts';
import { type Argument, groupsFor, INVOCATION, operandOf, shaderText, spaceName, type Twin } from './shader.ts';

interface Map {
  readonly root: Expression;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly loops: Loops;
  /** Bytes of an element whose bits are moved and nothing else. */
  readonly copy: number | undefined;
}

/** Arguments of the kernel: places of the target and of the operands, lengths, and what follows from the walk. */
export function mapTwin({ root, shape, dtype, loops, copy }: Map): Twin {
  const dtypes = [dtype, ...shape.loads.map(({ source }) => source.dtype)];
  const rank = loops.lengths.length;
  return (args) => {
    const places = dtypes.map((_, i) => operandOf(args, i));
    const lengths = loops.lengths.map((length, i) => lengthAt(args, dtypes.length + i) ?? length);
    const count = lengths.reduce((product, length) => product * length, 1);
    const bytes = bytesPerElement(dtype);
    const contiguous = loops.lengths.every(
      (_, level) =>
        loops.operands[0]?.strides[level] === loops.lengths.slice(level + 1).reduce((a, b) => a * b, 1) * bytes,
    );
    const [target] = places;
    const packed = contiguous && target !== undefined && target.byte % 4 === 0;
    const shared = bytes < 4 && !packed;
    const perWord = bytes < 4 && packed ? 4 / bytes : 1;
    const special = copy === undefined ? unspellable(shape) : [];
    const numbers = [
      count,
      ...places.map(({ byte }, i) => inUnits(dtypes[i] ?? dtype, byte)),
      ...lengths,
      ...loops.operands.flatMap(({ strides }, i) => strides.map((stride) => inUnits(dtypes[i] ?? dtype, stride))),
      ...special,
    ];
    const what = copy === undefined ? `${dtype}_map_${shape.text}` : `b${8 * copy}_copy`;
    const name = `${what}__${rank}d_${places.map(spaceName).join('')}${shared ? '_shared' : ''}`;
    const code = () => {
      const offset = (operand: number) =>
        [`args.p${operand}`, ...loops.lengths.map((_, level) => `i${level} * args.s${operand}_${level}`)].join(' + ');
      const at = loops.lengths.map((_, level) => {
        const inner = level === rank - 1;
        const rest = level === 0 ? 'index' : `r${level - 1}`;
        if (rank === 1) return 'let i0 = index;';
        if (inner) return `let i${level} = ${rest};`;
        const below = loops.lengths.slice(level + 1).map((_, i) => `args.n${level + 1 + i}`);
        return `let s${level} = ${below.join(' * ')}; let i${level} = ${rest} / s${level}; let r${level} = ${rest} % s${level};`;
      });
      const space = (i: number) => places[i]?.space ?? 'arena';
      const value: string[] = [];
      if (copy === undefined) {
        const written = writeExpression(
          root,
          shape,
          (i) => loadText(space(i + 1), dtypes[i + 1] ?? dtype, `at${i + 1}`, shared),
          (i) => `args.f${i}`,
        );
        value.push(...written.lines, `let bits = ${storedText(dtype, written.value)};`);
        return text(written.functions);
      }
      value.push(`let bits = ${bitsText(space(1), copy, 'at1', shared)};`);
      if (copy === 8) value.push(`let high = ${space(1)}[at1 + 1];`);
      return text([]);

      function text(functions: readonly string[]): string {
        const loads = shape.loads.map((_, i) => `let at${i + 1} = ${offset(i + 1)};`);
        const element = [...at, ...loads, ...value];
        const names = [
          'count',
          ...dtypes.map((_, i) => `p${i}`),
          ...loops.lengths.map((_, level) => `n${level}`),
          ...dtypes.flatMap((_, i) => loops.lengths.map((_, level) => `s${i}_${level}`)),
          ...special.map((_, i) => `f${i}`),
        ];
        const wide = copy === undefined && bytes === 8;
        if (perWord === 1)
          return shaderText(name, names, {
            globals: functions,
            shared,
            body: [
              `let index = ${INVOCATION};`,
              `if (index >= args.count) { return; }`,
              ...element,
              `let at0 = ${offset(0)};`,
              ...(shared
                ? storeBits(bytes, 'at0', 'bits')
                : wide
                  ? ['arena[at0] = bits.x;', 'arena[at0 + 1] = bits.y;']
                  : ['arena[at0] = bits;']),
              ...(copy === 8 ? ['arena[at0 + 1] = high;'] : []),
            ],
          });
        return shaderText(name, names, {
          globals: functions,
          body: [
            `let first = ${INVOCATION} * ${perWord};`,
            `if (first >= args.count) { return; }`,
            `let word = (args.p0 + first * ${bytes}) / 4;`,
            'var packed = arena[word];',
            `for (var j = 0; j < ${perWord}; j++) {`,
            '  let index = first + j;',
            `  if (index >= args.count) { break; }`,
            ...element.map((line) => `  ${line}`),
            `  let shift = u32(j) * ${8 * bytes}u;`,
            `  packed = (packed & ~(0x${bytes === 1 ? 'ff' : 'ffff'}u << shift)) | (bits << shift);`,
            '}',
            'arena[word] = packed;',
          ],
        });
      }
    };
    return [{ shader: { name, code }, groups: groupsFor(Math.ceil(count / perWord)), args: numbers }];
  };
}

/** The outermost length differs from call to call: a part of the elements. */
function lengthAt(args: readonly Argument[], index: number): number | undefined {
  const found = args[index];
  return typeof found === 'number' ? found : undefined;
}
