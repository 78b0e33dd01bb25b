/**
 * C[M,N] = A[M,K] · B[K,N] of two values, both row-major as they stand: nothing is packed.
 *
 * The tile is that of the packed product, 6 (5) rows by 8 columns; the weights of a column of the tile lie one row of A
 * apart, which costs an address per row and no more loads.
 */
import type { FunctionRef, ModuleBuilder } from '../wasm/assembler.ts';
import { addColumnKernel } from './columns.ts';
import { advance, countDownIfAny, dispatch, type Family, maxTileRows, multiplyAdd } from './family.ts';
import type { Columns } from './tile.ts';

export interface MatMulOptions extends Family {
  readonly exported: string;
}

/**
 * Adds and exports `matmul(n, x, y, xStep, yStep, residual, a, m, k, xRow, aRow, yRow)`, all i32; x is B. Rows of all three
 * are `xRow`, `aRow` and `yRow` bytes apart. `residual` is not read.
 */
export function addMatMul(module: ModuleBuilder, options: MatMulOptions): FunctionRef {
  const tallest = maxTileRows(options);
  const more = { a: 'i32', m: 'i32', k: 'i32', xRow: 'i32', aRow: 'i32', yRow: 'i32' } as const;
  return addColumnKernel(module, options.exported, 8, more, options, (f, columns: Columns, { x, y }, p) => {
    const vectors = Math.ceil(columns / 4);
    const sums = f.locals('v128', tallest * vectors);
    const inputs = f.locals('v128', vectors);
    const splat = f.local('v128');
    const rows = f.locals('i32', tallest);
    const [row, from, left, count, target] = [
      f.local('i32'),
      f.local('i32'),
      f.local('i32'),
      f.local('i32'),
      f.local('i32'),
    ];
    const loadAt = (v: number) => (columns === 1 ? f.memory('v128.load32_zero') : f.memory('v128.load', 16 * v));
    const local = <T>(list: readonly T[], i: number): T => list[i] as T;
    const panel = (height: number) => () => {
      for (let i = 0; i < height; i++) {
        if (i === 0) f.get(row);
        else
          f.get(local(rows, i - 1))
            .get(p.aRow)
            .op('i32.add');
        f.set(local(rows, i));
      }
      f.get(local(rows, height - 1))
        .get(p.aRow)
        .op('i32.add')
        .set(row);
      for (let s = 0; s < height * vectors; s++) f.zero().set(local(sums, s));
      f.get(x).set(from).get(p.k).set(count);
      countDownIfAny(f, count, () => {
        for (let v = 0; v < vectors; v++) {
          f.get(from);
          loadAt(v).set(local(inputs, v));
        }
        for (let i = 0; i < height; i++) {
          f.get(local(rows, i)).memory('v128.load32_splat').set(splat);
          for (let v = 0; v < vectors; v++)
            multiplyAdd(f, options, local(sums, i * vectors + v), splat, local(inputs, v));
          advance(f, local(rows, i), 4);
        }
        advance(f, from, p.xRow);
      });
      for (let i = 0; i < height; i++) {
        for (let v = 0; v < vectors; v++) {
          f.get(target).get(local(sums, i * vectors + v));
          if (columns === 1) f.storeLane('v128.store32_lane', 0);
          else f.memory('v128.store', 16 * v);
        }
        advance(f, target, p.yRow);
      }
    };
    f.get(p.a).set(row).get(y).set(target).get(p.m).set(left);
    f.block((done) => {
      f.loop((again) => {
        f.get(left).i32(tallest).op('i32.lt_u').brIf(done);
        panel(tallest)();
        advance(f, left, -tallest);
        f.br(again);
      });
    });
    dispatch(f, () => f.get(left), [() => {}, ...Array.from({ length: tallest - 1 }, (_, i) => panel(i + 1))]);
  });
}
