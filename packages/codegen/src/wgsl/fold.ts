/**
 * The twin of `map/fold.ts`: one invocation for each result, or a work-group where there is much to fold for each.
 *
 * The invocations of a work-group meet in its memory, in six steps with a barrier each. Where there are subgroups, each of
 * them folds in registers, and one barrier is left. A language of shaders does not say which invocations make a subgroup, so
 * that each is known by the least of its own: the order of folding is the same in every run, however a device places them.
 */
import { bytesPerElement, type DType } from '@grim/ir';
import type { Expression, Shape } from '../map/expression.ts';
import type { Combine } from '../map/fold.ts';
import type { Loops } from '../map/loops.ts';
import { inUnits, loadText, storeBits, storedText } from './elements.ts';
import { TYPES, unspellable, writeExpression } from './expression.ts';
import { GROUP, groupsFor, INVOCATION, operandOf, shaderText, spaceName, type Twin } from './shader.ts';

interface Fold {
  readonly root: Expression;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly combine: Combine;
  readonly loops: Loops;
  /** The first so many axes of the nest are kept. */
  readonly kept: number;
  readonly unsigned: boolean;
}

/** From so many elements on, a work-group shares the folding of one result. */
const SHARED = 4 * GROUP;
const MOST_GROUPS = 65535;

export function foldTwin({ root, shape, dtype, combine, loops, kept, unsigned }: Fold): Twin {
  const dtypes = [dtype, ...shape.loads.map(({ source }) => source.dtype)];
  const { lengths } = loops;
  const rank = lengths.length;
  const product = (list: readonly number[]) => list.reduce((all, length) => all * length, 1);
  const [results, folded] = [product(lengths.slice(0, kept)), product(lengths.slice(kept))];
  const { rep } = root;
  const type = TYPES[rep];
  const bytes = bytesPerElement(dtype);
  const shared = folded >= SHARED && results <= MOST_GROUPS;
  return (args) => {
    const places = dtypes.map((_, i) => operandOf(args, i));
    const special = unspellable(shape);
    const numbers = [
      results,
      folded,
      ...places.map(({ byte }, i) => inUnits(dtypes[i] ?? dtype, byte)),
      ...lengths,
      ...loops.operands.flatMap(({ strides }, i) => strides.map((stride) => inUnits(dtypes[i] ?? dtype, stride))),
      ...special,
    ];
    const atomic = bytes < 4;
    const sign = unsigned && (rep === 'i32' || rep === 'i64') ? '_u' : '';
    const name = `${dtype}_fold_${combine}${sign}_${shape.text}__${rank}d${kept}_${places.map(spaceName).join('')}${shared ? '_shared' : ''}`;
    const length = (level: number) => `args.n${level}`;
    const stride = (operand: number, level: number) => `args.s${operand}_${level}`;
    /** Indices of some levels from a linear one. */
    const indices = (from: string, first: number, end: number): string[] => {
      const lines: string[] = [];
      let rest = from;
      for (let level = first; level < end; level++) {
        const below = Array.from({ length: end - level - 1 }, (_, i) => length(level + 1 + i));
        if (below.length === 0) lines.push(`let i${level} = ${rest};`);
        else {
          const size = `(${below.join(' * ')})`;
          lines.push(`let i${level} = ${rest} / ${size};`, `let r${level} = ${rest} % ${size};`);
          rest = `r${level}`;
        }
      }
      return lines;
    };
    const offset = (operand: number, first: number, end: number) =>
      Array.from({ length: end - first }, (_, i) => ` + i${first + i} * ${stride(operand, first + i)}`).join('');
    const joined = (a: string, b: string) => {
      if (rep === 'mask') return `${a} ${combine === 'min' || combine === 'mul' ? '&&' : '||'} ${b}`;
      if (rep === 'f64') return `f64_${combine}(${a}, ${b})`;
      if (rep === 'i64') {
        if (combine === 'add' || combine === 'mul') return `${combine}64(${a}, ${b})`;
        const [x, y] = combine === 'min' ? [b, a] : [a, b];
        return `select(${a}, ${b}, lt64${sign || '_s'}(${x}, ${y}))`;
      }
      if (combine === 'add') return `${a} + ${b}`;
      if (combine === 'mul') return `${a} * ${b}`;
      return sign ? `bitcast<i32>(${combine}(u32(${a}), u32(${b})))` : `${combine}(${a}, ${b})`;
    };
    const joins =
      rep === 'f64'
        ? [`f64_${combine}`]
        : rep === 'i64'
          ? [combine === 'add' || combine === 'mul' ? `${combine}64` : `lt64${sign || '_s'}`]
          : [];
    const together = shared ? subgroupFold(rep, combine, sign !== '') : undefined;
    const text = (inSubgroups: boolean) => {
      const written = writeExpression(
        root,
        shape,
        (i) => loadText(places[i + 1]?.space ?? 'arena', dtypes[i + 1] ?? dtype, `at${i + 1}`, atomic),
        (i) => `args.f${i}`,
        'v',
        joins,
      );
      const loads = shape.loads.map((_, i) => i + 1);
      const bases = loads.map((i) => `let base${i} = args.p${i}${offset(i, 0, kept)};`);
      const value = [
        ...indices('j', kept, rank),
        ...loads.map((i) => `let at${i} = base${i}${offset(i, kept, rank)};`),
        ...written.lines,
        `let value: ${type} = ${written.value};`,
      ];
      const names = [
        'results',
        'folded',
        ...dtypes.map((_, i) => `p${i}`),
        ...lengths.map((_, level) => `n${level}`),
        ...dtypes.flatMap((_, i) => lengths.map((_, level) => `s${i}_${level}`)),
        ...special.map((_, i) => `f${i}`),
      ];
      // It begins with a value: no number is neutral for everything that may come.
      const loop = (start: string, step: string) => [
        `var sum: ${type};`,
        `for (var j = ${start}; j < args.folded; j += ${step}) {`,
        ...value.map((line) => `  ${line}`),
        `  if (j == ${start}) { sum = value; } else { sum = ${joined('sum', 'value')}; }`,
        '}',
      ];
      const place = `args.p0${offset(0, 0, kept)}`;
      const store = (of: string) =>
        bytes === 8
          ? [`let at0 = ${place};`, `arena[at0] = ${of}.x;`, `arena[at0 + 1] = ${of}.y;`]
          : storeBits(bytes, place, storedText(dtype, of));
      if (!shared)
        return shaderText(name, names, {
          globals: written.functions,
          shared: atomic,
          body: [
            `let index = ${INVOCATION};`,
            `if (index >= args.results) { return; }`,
            ...indices('index', 0, kept),
            ...bases,
            ...loop('0', '1'),
            ...store('sum'),
          ],
        });
      const sums = `var<workgroup> sums: array<${type}, ${GROUP}>;`;
      const own = [
        'let index = i32(group.x);',
        'let own = i32(lane);',
        ...indices('index', 0, kept),
        ...bases,
        ...loop('own', `${GROUP}`),
      ];
      if (inSubgroups && together)
        return shaderText(`${name}_subgroups`, names, {
          globals: [...written.functions, sums, `var<workgroup> heads: array<atomic<u32>, ${GROUP / 32}>;`],
          enables: 'subgroups',
          shared: atomic,
          body: [
            ...own,
            `sum = ${together('sum')};`,
            '// The least of a subgroup speaks for it.',
            'if (lane == subgroupMin(lane)) {',
            '  sums[lane] = sum;',
            '  atomicOr(&heads[lane / 32u], 1u << (lane % 32u));',
            '}',
            'workgroupBarrier();',
            'if (lane > 0u) { return; }',
            `for (var word = 0u; word < ${GROUP / 32}u; word++) {`,
            '  var rest = atomicLoad(&heads[word]);',
            '  if (word == 0u) { rest ^= 1u; }',
            '  for (; rest > 0u; rest &= rest - 1u) {',
            '    let other = sums[32u * word + firstTrailingBit(rest)];',
            `    sum = ${joined('sum', 'other')};`,
            '  }',
            '}',
            ...store('sum'),
          ],
        });
      return shaderText(name, names, {
        globals: [...written.functions, sums],
        shared: atomic,
        body: [
          ...own,
          'sums[lane] = sum;',
          `for (var half = ${GROUP / 2}u; half > 0u; half /= 2u) {`,
          '  workgroupBarrier();',
          `  if (lane < half) { sums[lane] = ${joined('sums[lane]', 'sums[lane + half]')}; }`,
          '}',
          `if (lane == 0u) { ${store('sums[0]').join(' ')} }`,
        ],
      });
    };
    const variants = [{ needs: 'subgroups' as const, code: () => text(true) }];
    const shader = { name, code: () => text(false), ...(together && { variants }) };
    return [{ shader, groups: shared ? [results, 1, 1] : groupsFor(results), args: numbers }];
  };
}

/** What folds a value over a subgroup; undefined where the type is no type of a register. */
function subgroupFold(
  rep: Expression['rep'],
  combine: Combine,
  unsigned: boolean,
): ((value: string) => string) | undefined {
  if (rep === 'mask')
    return (value) => `${combine === 'min' || combine === 'mul' ? 'subgroupAll' : 'subgroupAny'}(${value})`;
  if (rep !== 'f32' && rep !== 'i32') return undefined;
  const name = `subgroup${combine.charAt(0).toUpperCase()}${combine.slice(1)}`;
  return unsigned ? (value) => `bitcast<i32>(${name}(u32(${value})))` : (value) => `${name}(${value})`;
}
