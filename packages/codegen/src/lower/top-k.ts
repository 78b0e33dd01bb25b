/** `TopK`: the k first of every line in order, kept sorted while the line is read once. NaN counts as the greatest. */
import { bytesPerElement, type DType, type NodeOf } from '@grim/ir';
import { advance } from '../kernels/family.ts';
import { emitNest, nestCall, nestParameters, parameter } from '../kernels/nest.ts';
import type { LowerContext, Lowerings } from '../lower.ts';
import { isFloatRep, isUnsigned, repOf } from '../map/expression.ts';
import { dense, rowMajor, sizeOf } from '../map/placement.ts';
import { loadScalar, storeScalar } from '../map/scalar.ts';
import type { Kernel, Placement } from '../program.ts';
import type { Local } from '../wasm/assembler.ts';
import { topTwin } from '../wgsl/search.ts';
import type { Twin } from '../wgsl/shader.ts';
import { axisOf } from './rearrange.ts';

const NAMES = ['values', 'indices', 'data', 'length', 'step', 'k', 'valueStep', 'indexStep'];
const POINTERS = ['values', 'indices', 'data'];

/** Steps are bytes along the axis. What does not beat the last one kept costs one comparison. */
function topKernel(dtype: DType, largest: boolean, levels: number, twin: Twin): Kernel {
  const rep = repOf(dtype);
  const type = rep === 'mask' ? 'i32' : rep;
  const sign = isFloatRep(rep) ? '' : isUnsigned(dtype) ? '_u' : '_s';
  return {
    name: `${dtype}_top_${largest ? 'greatest' : 'least'}__${levels}d`,
    twin,
    emit: (module, _family, exported) => {
      const parameters = nestParameters(NAMES, POINTERS, levels);
      module.function({ export: exported, parameters }, (f, all) => {
        const p = (name: string) => parameter(all, name);
        const [x, y] = [f.local(type), f.local(type)];
        const [at, index, value, place, rank] = f.locals('i32', 5) as [
          Local<'i32'>,
          Local<'i32'>,
          Local<'i32'>,
          Local<'i32'>,
          Local<'i32'>,
        ];
        /** Whether x comes before y; of equal ones the first stays. */
        const precedes = () => {
          f.get(x)
            .get(y)
            .op(`${type}.${largest ? 'gt' : 'lt'}${sign}` as 'i32.gt_s');
          if (!isFloatRep(rep)) return f;
          const [odd, plain] = largest ? [x, y] : [y, x];
          f.get(odd)
            .get(odd)
            .op(`${type}.ne` as 'f32.ne');
          f.get(plain)
            .get(plain)
            .op(`${type}.eq` as 'f32.eq');
          return f.op('i32.and').op('i32.or');
        };
        const back = (pointer: Local<'i32'>, step: string) => f.get(pointer).get(p(step)).op('i32.sub');
        const insert = () => {
          // From the end of what is kept, everything that x precedes moves on by one.
          f.get(p('values')).get(rank).get(p('valueStep')).op('i32.mul').op('i32.add').set(value);
          f.get(p('indices')).get(rank).get(p('indexStep')).op('i32.mul').op('i32.add').set(place);
          f.block((found) => {
            f.loop((again) => {
              f.get(rank).op('i32.eqz').brIf(found);
              const before = f.local('i32');
              back(value, 'valueStep').set(before);
              loadScalar(f, dtype, before);
              f.set(y);
              precedes().op('i32.eqz').brIf(found);
              f.get(value).get(y);
              storeScalar(f, dtype);
              f.get(place);
              back(place, 'indexStep').memory('i64.load').memory('i64.store');
              f.get(before).set(value);
              back(place, 'indexStep').set(place);
              f.get(rank).i32(1).op('i32.sub').set(rank).br(again);
            });
          });
          f.get(value).get(x);
          storeScalar(f, dtype);
          f.get(place).get(index).op('i64.extend_i32_u').memory('i64.store');
        };
        emitNest(f, all, POINTERS, levels, () => {
          f.get(p('data')).set(at).i32(0).set(index);
          f.loop((next) => {
            loadScalar(f, dtype, at);
            f.set(x);
            f.get(index).get(p('k')).op('i32.lt_u');
            f.if(
              () => {
                f.get(index).set(rank);
                insert();
              },
              () => {
                f.get(p('k')).i32(1).op('i32.sub').set(rank);
                f.get(p('values')).get(rank).get(p('valueStep')).op('i32.mul').op('i32.add').set(value);
                loadScalar(f, dtype, value);
                f.set(y);
                precedes().if(insert);
              },
            );
            advance(f, at, p('step'));
            f.get(index).i32(1).op('i32.add').tee(index).get(p('length')).op('i32.lt_u').brIf(next);
          });
        });
      });
    },
  };
}

function lowerTopK(node: NodeOf<'TopK'>, c: LowerContext): void {
  const [input = ''] = node.inputs;
  const [valuesName = '', indicesName = ''] = node.outputs as readonly string[];
  const from = c.read(input);
  const { dtype } = from;
  const axis = axisOf(node.attributes.axis, from.shape.length);
  const known = [valuesName, indicesName].find((name) => name !== '');
  if (known === undefined) return;
  const { shape } = c.type(known);
  const place = (name: string, type: DType): Placement =>
    name === '' ? dense(c.scratch(sizeOf(shape) * bytesPerElement(type)), type, shape) : c.writeContiguous(name);
  const [values, indices] = [place(valuesName, dtype), place(indicesName, 'int64')];
  if (sizeOf(shape) === 0) return;
  const others = Array.from(shape.keys()).filter((i) => i !== axis);
  const strides = rowMajor(shape);
  const walked = (of: readonly number[], bytes: number) => ({
    bytes,
    strides: others.map((i) => (of[i] ?? 0) * bytes),
  });
  const bytes = bytesPerElement(dtype);
  const lengths = others.map((i) => shape[i] ?? 1);
  const operands = [walked(strides, bytes), walked(strides, 8), walked(from.strides, bytes)];
  const nest = nestCall(lengths, operands);
  const walk = { lengths, strides: operands.map((operand) => operand.strides) };
  const largest = node.attributes.largest === 1;
  const step = strides[axis] ?? 1;
  c.call(
    topKernel(dtype, largest, nest.levels, topTwin(dtype, largest, walk)),
    values,
    indices,
    from,
    from.shape[axis] ?? 1,
    (from.strides[axis] ?? 1) * bytes,
    shape[axis] ?? 1,
    step * bytes,
    step * 8,
    ...nest.args,
  );
}

export const topKLowerings: Lowerings = { TopK: { lower: lowerTopK } };
