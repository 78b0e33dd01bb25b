/** Operators whose output depends on which elements there are: some of them give a shape that only a run can tell. */
import { flag, int, op, optional } from '../op.ts';
import { type Dim, DTYPES, NUMERIC_DTYPES } from '../types.ts';
import { needEqual, needRank, needSingle, normalAxis } from './axes.ts';

export const selectOps = {
  OneHot: op({
    since: 11,
    inputs: ['indices: T1', 'depth: T2', 'values: T3'],
    outputs: ['output: T3'],
    types: { T1: NUMERIC_DTYPES, T2: NUMERIC_DTYPES, T3: DTYPES },
    attributes: { axis: int(-1) },
    infer: (c) => {
      const indices = c.shape(0);
      needSingle(c, c.shape(1), 'depth');
      needRank(c, c.shape(2), 'values', 1, 1);
      needEqual(c, c.shape(2)?.[0], 2, 'number of values (off and on)');
      const depth = c.reals(1)?.[0];
      if (depth !== undefined && !(depth >= 0 && depth < Infinity))
        c.fail(`depth is ${depth}; 0 or more is needed.`, 'GRIM_IR_BAD_VALUE');
      if (!indices) return [null];
      const axis = normalAxis(c, c.attributes.axis, indices.length + 1);
      const length: Dim = depth === undefined ? c.unknown() : Math.trunc(depth);
      return [[...indices.slice(0, axis), length, ...indices.slice(axis)]];
    },
  }),

  NonZero: op({
    since: 13,
    inputs: ['X: T'],
    outputs: ['Y: int64'],
    types: { T: DTYPES },
    attributes: {},
    infer: (c) => [[c.shape(0)?.length ?? c.unknown(), c.unknown()]],
    dataDependent: true,
  }),

  Compress: op({
    since: 11,
    inputs: ['input: T', 'condition: bool'],
    outputs: ['output: T'],
    types: { T: DTYPES },
    attributes: { axis: optional(int()) },
    infer: (c) => {
      const input = c.shape(0);
      const { axis: given } = c.attributes;
      needRank(c, c.shape(1), 'condition', 1, 1);
      const axis = given === undefined || !input ? undefined : normalAxis(c, given, input.length);
      const whole = axis === undefined ? input : [input?.[axis] ?? ''];
      const condition = c.shape(1)?.[0];
      if (whole && (given === undefined || axis !== undefined) && whole.every((dim) => typeof dim === 'number')) {
        const most = whole.reduce<number>((product, dim) => product * (dim as number), 1);
        if (typeof condition === 'number' && condition > most)
          c.fail(`condition has ${condition} entries; there are only ${most} to choose from.`);
      }
      if (given === undefined) return [[c.unknown()]];
      return [input?.map((dim, i) => (i === axis ? c.unknown() : dim)) ?? null];
    },
    dataDependent: true,
  }),

  Unique: op({
    since: 11,
    inputs: ['X: T'],
    outputs: ['Y: T', 'indices?: int64', 'inverse_indices?: int64', 'counts?: int64'],
    types: { T: DTYPES },
    attributes: { axis: optional(int()), sorted: flag(1) },
    infer: (c) => {
      const shape = c.shape(0);
      const [found, all] = [c.unknown(), c.unknown()];
      const lists = [[found], [all], [found]];
      if (c.attributes.axis === undefined) return [[found], ...lists];
      if (!shape) return [null, ...lists];
      const axis = normalAxis(c, c.attributes.axis, shape.length);
      return [shape.with(axis, found), [found], [shape[axis] as Dim], [found]];
    },
    dataDependent: true,
  }),
};
