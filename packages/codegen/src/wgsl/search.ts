/** Twins of the kernels that look along an axis for the extreme elements: one invocation for each line. NaN is the most extreme. */
import { bytesPerElement, type DType } from '@grim/ir';
import { isFloatRep, isUnsigned, repOf } from '../map/expression.ts';
import { inUnits, loadText, storeBits, storedText } from './elements.ts';
import { TYPES } from './expression.ts';
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
import { wideFunctions } from './wide.ts';

/** `fn before(x, y) -> bool`: x comes before y, by NaN too. With `ties`, also where they are as good. */
function beforeText(dtype: DType, greatest: boolean, ties: boolean, nanFirst: boolean): string[] {
  const rep = repOf(dtype);
  const type = TYPES[rep];
  const sign = isUnsigned(dtype) ? 'u' : 's';
  const [x, y] = greatest ? ['x', 'y'] : ['y', 'x'];
  const wide = rep === 'i64' ? `lt64_${sign}` : rep === 'f64' ? 'f64_lt' : undefined;
  const cast = (name: string) => (rep === 'i32' && sign === 'u' ? `u32(${name})` : name);
  const more = (a: string, b: string) => (wide ? `${wide}(${b}, ${a})` : `${cast(a)} > ${cast(b)}`);
  const lines = [`fn before(x: ${type}, y: ${type}) -> bool {`];
  if (isFloatRep(rep)) {
    const nan = (name: string) =>
      rep === 'f64' ? `nan64(${name})` : `(bitcast<u32>(${name}) & 0x7fffffffu) > 0x7f800000u`;
    lines.push(
      `  let oddX = ${nan('x')};`,
      `  let oddY = ${nan('y')};`,
      nanFirst
        ? `  if (oddX || oddY) { return oddX && ${ties ? 'true' : '!oddY'}; }`
        : '  if (oddX || oddY) { return oddY && !oddX; }',
    );
  }
  lines.push(`  return ${ties ? `!(${more(y, x)})` : more(x, y)};`, '}');
  const library = wideFunctions([...(wide ? [wide] : []), ...(rep === 'f64' ? ['nan64'] : [])]);
  return [lines.join('\n'), ...library];
}

/** `arg(out, data, length, step, …)`; operands of the walk are both. */
export function argumentTwin(dtype: DType, greatest: boolean, last: boolean, walk: Walk): Twin {
  return (args) => {
    const [out, data] = [operandOf(args, 0), operandOf(args, 1)];
    const [length, step] = [numberOf(args, 2), numberOf(args, 3)];
    const total = walk.lengths.reduce((product, dim) => product * dim, 1);
    const name = `${dtype}_arg${greatest ? 'max' : 'min'}${last ? '_last' : ''}__${walk.lengths.length}d_${spaceName(data)}`;
    const load = () => loadText(data.space, dtype, 'at');
    const code = () =>
      shaderText(name, ['total', 'out', 'data', 'length', 'step', ...walkNames(walk)], {
        globals: beforeText(dtype, greatest, last, true),
        body: [
          `let n = ${INVOCATION};`,
          'if (n >= args.total) { return; }',
          ...placeLines(walk, 'n'),
          `var at = args.data${offsetText(walk, 1)};`,
          `var best = ${load()};`,
          'var found = 0;',
          'for (var k = 1; k < args.length; k++) {',
          '  at += args.step;',
          `  let next = ${load()};`,
          '  if (before(next, best)) { best = next; found = k; }',
          '}',
          `let place = args.out${offsetText(walk, 0)};`,
          'arena[place] = u32(found);',
          'arena[place + 1] = 0u;',
        ],
      });
    const starts = [out.byte / 4, inUnits(dtype, data.byte)];
    const numbers = [total, ...starts, length, inUnits(dtype, step), ...walkNumbers(walk, ['int64', dtype])];
    return [{ shader: { name, code }, groups: groupsFor(total), args: numbers }];
  };
}

/** `top(values, indices, data, length, step, k, valueStep, indexStep, …)`; operands of the walk are these three. */
export function topTwin(dtype: DType, largest: boolean, walk: Walk): Twin {
  const bytes = bytesPerElement(dtype);
  const shared = bytes < 4;
  return (args) => {
    const [values, indices, data] = [0, 1, 2].map((i) => operandOf(args, i)) as [Operand, Operand, Operand];
    const [length, step, k, valueStep, indexStep] = [3, 4, 5, 6, 7].map((i) => numberOf(args, i)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const total = walk.lengths.reduce((product, dim) => product * dim, 1);
    const name = `${dtype}_top_${largest ? 'greatest' : 'least'}__${walk.lengths.length}d_${spaceName(data)}`;
    const store = (at: string, value: string) =>
      bytes === 8
        ? [`arena[${at}] = ${value}.x;`, `arena[${at} + 1] = ${value}.y;`]
        : storeBits(bytes, at, storedText(dtype, value));
    const type = TYPES[repOf(dtype)];
    const word = (at: string) => (shared ? `atomicLoad(&arena[${at}])` : `arena[${at}]`);
    const set = (at: string, value: string) =>
      shared ? `atomicStore(&arena[${at}], ${value});` : `arena[${at}] = ${value};`;
    const own = ['total', 'values', 'indices', 'data', 'length', 'step', 'k', 'valueStep', 'indexStep'];
    const code = () =>
      shaderText(name, [...own, ...walkNames(walk)], {
        shared,
        globals: beforeText(dtype, largest, false, largest),
        body: [
          `let n = ${INVOCATION};`,
          'if (n >= args.total) { return; }',
          ...placeLines(walk, 'n'),
          `let values = args.values${offsetText(walk, 0)};`,
          `let indices = args.indices${offsetText(walk, 1)};`,
          `var at = args.data${offsetText(walk, 2)};`,
          'for (var index = 0; index < args.length; index++) {',
          `  let x: ${type} = ${loadText(data.space, dtype, 'at', shared)};`,
          '  at += args.step;',
          '  var rank = min(index, args.k);',
          '  // From the end of what is kept, everything that x precedes moves on by one.',
          '  for (; rank > 0; rank--) {',
          '    let origin = values + (rank - 1) * args.valueStep;',
          `    let y: ${type} = ${loadText('arena', dtype, 'origin', shared)};`,
          '    if (!before(x, y)) { break; }',
          '    if (rank < args.k) {',
          '      let value = origin + args.valueStep;',
          ...store('value', 'y').map((text) => `      ${text}`),
          '      let place = indices + rank * args.indexStep;',
          `      ${set('place', word('place - args.indexStep'))}`,
          '    }',
          '  }',
          '  if (rank < args.k) {',
          '    let value = values + rank * args.valueStep;',
          ...store('value', 'x').map((text) => `    ${text}`),
          `    ${set('indices + rank * args.indexStep', 'u32(index)')}`,
          `    ${set('indices + rank * args.indexStep + 1', '0u')}`,
          '  }',
          '}',
        ],
      });
    const starts = [inUnits(dtype, values.byte), indices.byte / 4, inUnits(dtype, data.byte)];
    const steps = [length, inUnits(dtype, step), k, inUnits(dtype, valueStep), indexStep / 4];
    const numbers = [total, ...starts, ...steps, ...walkNumbers(walk, [dtype, 'int64', dtype])];
    return [{ shader: { name, code }, groups: groupsFor(total), args: numbers }];
  };
}
