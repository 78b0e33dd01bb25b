/** `ArgMax` and `ArgMin`: where along an axis the extreme element stands. NaN counts as more extreme than any number. */
import { bytesPerElement, type DType, invariant, type Node } from '@grim/ir';
import type { AnyLowering, LowerContext, Lowerings } from '../lower.ts';
import { isFloatRep, isUnsigned, repOf } from '../map/expression.ts';
import { advanceOf, planLoops } from '../map/loops.ts';
import { rowMajor, sizeOf } from '../map/placement.ts';
import { loadScalar } from '../map/scalar.ts';
import type { Address, Kernel, Placement } from '../program.ts';
import { argumentTwin } from '../wgsl/search.ts';
import type { Twin } from '../wgsl/shader.ts';
import { axisOf } from './rearrange.ts';

/**
 * `arg(out, data, length, step, lengths…, advances…)`: for each place of the nest, the index of the extreme one of
 * `length` elements that are `step` bytes apart.
 */
function argumentKernel(dtype: DType, greatest: boolean, last: boolean, levels: number, twin: Twin): Kernel {
  const rep = repOf(dtype);
  const type = rep === 'mask' ? 'i32' : rep;
  const float = isFloatRep(rep);
  return {
    name: `${dtype}_arg${greatest ? 'max' : 'min'}${last ? '_last' : ''}__${levels}d`,
    twin,
    emit: (module, _family, exported) => {
      const names = ['out', 'data', 'length', 'step'];
      for (let level = 0; level < levels; level++) names.push(`n${level}`, `o${level}`, `d${level}`);
      const parameters = Object.fromEntries(names.map((name) => [name, 'i32' as const]));
      module.function({ export: exported, parameters }, (f, all) => {
        const local = (name: string) => {
          const found = all[name];
          invariant(found, `parameter ${name}`);
          return found;
        };
        const [at, index, found] = f.locals('i32', 3) as [
          ReturnType<typeof local>,
          ReturnType<typeof local>,
          ReturnType<typeof local>,
        ];
        const [best, next] = f.locals(type, 2) as [ReturnType<typeof f.local>, ReturnType<typeof f.local>];
        const search = () => {
          f.get(local('data')).set(at).i32(0).set(index).i32(0).set(found);
          loadScalar(f, dtype, at);
          f.set(best);
          f.loop((again) => {
            loadScalar(f, dtype, at);
            f.set(next);
            // Better, or as good where the last one counts.
            f.get(next).get(best);
            const name = `${greatest ? 'g' : 'l'}${last ? 'e' : 't'}`;
            f.op(`${type}.${name}${float ? '' : isUnsigned(dtype) ? '_u' : '_s'}` as 'i32.lt_s');
            if (float) {
              f.get(next)
                .get(next)
                .op(`${type}.ne` as 'f32.ne');
              if (!last)
                f.get(best)
                  .get(best)
                  .op(`${type}.eq` as 'f32.eq')
                  .op('i32.and');
              f.op('i32.or');
            }
            f.if(() => f.get(next).set(best).get(index).set(found));
            f.get(at).get(local('step')).op('i32.add').set(at);
            f.get(index).i32(1).op('i32.add').tee(index).get(local('length')).op('i32.lt_u').brIf(again);
          });
          f.get(local('out')).get(found).op('i64.extend_i32_u').memory('i64.store');
        };
        const nest = (level: number): void => {
          if (level === levels) {
            search();
            return;
          }
          const left = f.local('i32');
          f.get(local(`n${level}`)).set(left);
          f.loop((again) => {
            nest(level + 1);
            f.get(local('out'))
              .get(local(`o${level}`))
              .op('i32.add')
              .set(local('out'));
            f.get(local('data'))
              .get(local(`d${level}`))
              .op('i32.add')
              .set(local('data'));
            f.get(left).i32(1).op('i32.sub').tee(left).brIf(again);
          });
        };
        nest(0);
      });
    },
  };
}

/** Stores for every line along `axis` where its extreme element stands, row-major over the other axes. */
export function storeArgument(
  c: LowerContext,
  from: Placement,
  axis: number,
  { greatest, last }: { readonly greatest: boolean; readonly last: boolean },
  to: Address,
): void {
  const others = from.shape.map((_, i) => i).filter((i) => i !== axis);
  const lengths = others.map((i) => from.shape[i] ?? 1);
  const bytes = bytesPerElement(from.dtype);
  const loops = planLoops(lengths, [
    { bytes: 8, strides: rowMajor(lengths).map((stride) => 8 * stride) },
    { bytes, strides: others.map((i) => (from.strides[i] ?? 0) * bytes) },
  ]);
  const nest = loops.lengths.flatMap((length, level) => [
    length,
    ...loops.operands.map((walked) => advanceOf(loops, walked, level)),
  ]);
  const walk = { lengths: loops.lengths, strides: loops.operands.map(({ strides }) => strides) };
  const twin = argumentTwin(from.dtype, greatest, last, walk);
  const kernel = argumentKernel(from.dtype, greatest, last, loops.lengths.length, twin);
  c.call(kernel, to, from, from.shape[axis] ?? 1, (from.strides[axis] ?? 0) * bytes, ...nest);
}

function argument(greatest: boolean): AnyLowering {
  return {
    lower: (node: Node, c: LowerContext) => {
      const from = c.read(node.inputs[0] ?? '');
      const { axis, select_last_index: last } = node.attributes as { axis: number; select_last_index: number };
      const to = c.writeContiguous(node.outputs[0] ?? '');
      if (sizeOf(to.shape) === 0) return;
      storeArgument(c, from, axisOf(axis, from.shape.length), { greatest, last: last === 1 }, to);
    },
  };
}

export const argumentLowerings: Lowerings = { ArgMax: argument(true), ArgMin: argument(false) };
