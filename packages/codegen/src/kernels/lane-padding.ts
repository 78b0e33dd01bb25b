/**
 * Stores the weights of a stream of lanes without the zeros that fill its vectors, and the kernel that puts them back when a
 * model is loaded. Where blocks keep two rows of four, half of what a kernel reads is zeros; where they are follows from the
 * words of the stream, so that nothing has to say it.
 * @see `lanes.ts` for the words and the order of the weights
 */
import type { FunctionRef, Local, ModuleBuilder } from '../wasm/assembler.ts';
import { advance, countDown, countDownIfAny } from './family.ts';

/** The first weights of a stream: biases, four together. */
export function biasesOf(rows: number): number {
  return 4 * Math.ceil(rows / 4);
}

/** @param biases  weights before those of the first unit */
export function withoutPadding(weights: Float32Array, words: Int32Array, biases: number): Float32Array<ArrayBuffer> {
  const kept: number[] = Array.from(weights.subarray(0, biases));
  let from = biases;
  for (let at = 0; words[at]; ) {
    const head = words[at] ?? 0;
    const vectors = head & 255;
    const rows = 4 * (vectors - 1) + (head >> 8);
    const cols = words[at + 1] ?? 0;
    for (let col = 0; col < cols; col++) {
      for (let row = 0; row < rows; row++) kept.push(weights[from + row] ?? 0);
      from += 4 * vectors;
    }
    at += 2 + rows + cols;
  }
  return Float32Array.from(kept);
}

const PARAMETERS = {
  target: 'i32',
  packed: 'i32',
  words: 'i32',
  /** Weights before those of the first unit: a multiple of 4. */
  biases: 'i32',
} as const;

/** Adds `fill(target, packed, words, biases)`: writes to `target` the weights that {@link withoutPadding} was given. */
export function addLanePadding(module: ModuleBuilder, name: string): FunctionRef {
  return module.function({ parameters: PARAMETERS, export: name }, (f, p) => {
    const [head, vectors, rows, cols, left] = f.locals('i32', 5) as [I, I, I, I, I];
    const copy = (count: I) =>
      countDownIfAny(f, count, () => {
        f.get(p.target).get(p.packed).memory('f32.load').memory('f32.store');
        advance(f, p.target, 4);
        advance(f, p.packed, 4);
      });
    copy(p.biases);
    f.block((end) => {
      f.loop((next) => {
        f.get(p.words).memory('i32.load').tee(head).op('i32.eqz').brIf(end);
        f.get(head).i32(255).op('i32.and').set(vectors);
        f.get(vectors)
          .i32(1)
          .op('i32.sub')
          .i32(2)
          .op('i32.shl')
          .get(head)
          .i32(8)
          .op('i32.shr_u')
          .op('i32.add')
          .set(rows);
        f.get(p.words).memory('i32.load', 4).set(cols);
        f.get(p.words)
          .get(rows)
          .get(cols)
          .op('i32.add')
          .i32(2)
          .op('i32.add')
          .i32(2)
          .op('i32.shl')
          .op('i32.add')
          .set(p.words);
        countDown(f, cols, () => {
          // The last vector, of which rows may be missing.
          f.get(p.target).get(vectors).i32(1).op('i32.sub').i32(4).op('i32.shl').op('i32.add');
          f.zero().memory('v128.store');
          f.get(rows).set(left);
          copy(left);
          f.get(p.target).get(vectors).i32(2).op('i32.shl').get(rows).op('i32.sub').i32(2).op('i32.shl').op('i32.add');
          f.set(p.target);
        });
        f.br(next);
      });
    });
  });
}

type I = Local<'i32'>;
