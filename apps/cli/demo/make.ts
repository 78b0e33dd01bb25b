// biome-ignore-all lint/style/noNonNullAssertion: every index below is a loop's own, within the array it was made for.
/**
 * Makes the small model of the repository: a CNN that reads calculator digits, trained here from nothing, its second
 * convolution and its last layer pruned by blocks (BCR) by magnitude and trained on. Writes tiny-cnn/model.onnx and one test
 * data set with a picture of each digit, two of them as PNG too. About ten seconds; the same files every time.
 *
 *     cd apps/cli && npm run demo:make
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawDigit, randomSource, SIDE } from '@grim/demo-data';
import { type Graph, graph, type Tensor } from '@grim/ir';
import { toOnnx, writeTensorFile } from '@grim/ir/onnx';
import { evaluate } from '@grim/ir/reference';
import { encode } from 'fast-png';

const HALF = SIDE / 2;
const QUARTER = SIDE / 4;
const FIRST = 8;
const SECOND = 16;
const FLAT = SECOND * QUARTER * QUARTER;
const CLASSES = 10;

const random = randomSource(20220415);

/** A layer's weights as the matrix [rows, cols] and its bias, with what momentum remembers of both. */
interface Layer {
  readonly rows: number;
  readonly cols: number;
  readonly weight: Float64Array;
  readonly bias: Float64Array;
  readonly weightGradient: Float64Array;
  readonly biasGradient: Float64Array;
  readonly weightVelocity: Float64Array;
  readonly biasVelocity: Float64Array;
  /** 1 where the weight may be other than 0. */
  readonly mask: Uint8Array;
}

function layer(rows: number, cols: number): Layer {
  const weight = new Float64Array(rows * cols);
  // He: variance 2 / fan-in; the sum of twelve uniform numbers is near enough to normal.
  for (let i = 0; i < weight.length; i++) {
    let sum = -6;
    for (let j = 0; j < 12; j++) sum += random();
    weight[i] = sum * Math.sqrt(2 / cols);
  }
  const zeros = (length: number): Float64Array => new Float64Array(length);
  return {
    rows,
    cols,
    weight,
    bias: zeros(rows),
    weightGradient: zeros(rows * cols),
    biasGradient: zeros(rows),
    weightVelocity: zeros(rows * cols),
    biasVelocity: zeros(rows),
    mask: new Uint8Array(rows * cols).fill(1),
  };
}

const conv1 = layer(FIRST, 9);
const conv2 = layer(SECOND, FIRST * 9);
const last = layer(CLASSES, FLAT);

/** 3 × 3, padded by one, then Relu: [inputs, side, side] → [rows, side, side]. */
function convolve(l: Layer, input: Float64Array, side: number): Float64Array {
  const output = new Float64Array(l.rows * side * side);
  const channels = l.cols / 9;
  for (let o = 0; o < l.rows; o++)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        let sum = l.bias[o]!;
        for (let c = 0; c < channels; c++)
          for (let ky = Math.max(0, 1 - y); ky < Math.min(3, side + 1 - y); ky++)
            for (let kx = Math.max(0, 1 - x); kx < Math.min(3, side + 1 - x); kx++)
              sum += l.weight[o * l.cols + c * 9 + ky * 3 + kx]! * input[(c * side + y + ky - 1) * side + x + kx - 1]!;
        output[(o * side + y) * side + x] = Math.max(0, sum);
      }
  return output;
}

/** Adds the gradients of {@link convolve}; `gradient` is that of its output. @returns that of its input */
function convolveBack(
  l: Layer,
  input: Float64Array,
  output: Float64Array,
  gradient: Float64Array,
  side: number,
): Float64Array {
  const back = new Float64Array(input.length);
  const channels = l.cols / 9;
  for (let o = 0; o < l.rows; o++)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const at = (o * side + y) * side + x;
        const g = gradient[at]!;
        if (g === 0 || output[at] === 0) continue;
        l.biasGradient[o]! += g;
        for (let c = 0; c < channels; c++)
          for (let ky = Math.max(0, 1 - y); ky < Math.min(3, side + 1 - y); ky++)
            for (let kx = Math.max(0, 1 - x); kx < Math.min(3, side + 1 - x); kx++) {
              const w = o * l.cols + c * 9 + ky * 3 + kx;
              const from = (c * side + y + ky - 1) * side + x + kx - 1;
              l.weightGradient[w]! += g * input[from]!;
              back[from]! += g * l.weight[w]!;
            }
      }
  return back;
}

/** 2 × 2 maxima, and where each came from. */
function pool(
  input: Float64Array,
  channels: number,
  side: number,
): { readonly output: Float64Array; readonly from: Int32Array } {
  const half = side / 2;
  const output = new Float64Array(channels * half * half);
  const from = new Int32Array(output.length);
  for (let i = 0; i < output.length; i++) {
    const x = i % half;
    const y = Math.floor(i / half) % half;
    const c = Math.floor(i / (half * half));
    let best = (c * side + 2 * y) * side + 2 * x;
    for (const step of [1, side, side + 1]) {
      const other = (c * side + 2 * y) * side + 2 * x + step;
      if (input[other]! > input[best]!) best = other;
    }
    output[i] = input[best]!;
    from[i] = best;
  }
  return { output, from };
}

function unpool(gradient: Float64Array, from: Int32Array, length: number): Float64Array {
  const back = new Float64Array(length);
  from.forEach((to, i) => {
    back[to]! += gradient[i]!;
  });
  return back;
}

function probabilities(flat: Float64Array): Float64Array {
  const scores = Float64Array.from({ length: CLASSES }, (_, o) => {
    let sum = last.bias[o]!;
    for (let i = 0; i < FLAT; i++) sum += last.weight[o * FLAT + i]! * flat[i]!;
    return sum;
  });
  const most = Math.max(...scores);
  const exponentials = scores.map((score) => Math.exp(score - most));
  const total = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((e) => e / total);
}

/** One picture forward and back. @returns whether it was read right */
function learn(picture: Float32Array, digit: number): boolean {
  const image = Float64Array.from(picture);
  const a1 = convolve(conv1, image, SIDE);
  const p1 = pool(a1, FIRST, SIDE);
  const a2 = convolve(conv2, p1.output, HALF);
  const p2 = pool(a2, SECOND, HALF);
  const p = probabilities(p2.output);
  const right = p.indexOf(Math.max(...p)) === digit;
  const flatGradient = new Float64Array(FLAT);
  for (let o = 0; o < CLASSES; o++) {
    const g = p[o]! - (o === digit ? 1 : 0);
    last.biasGradient[o]! += g;
    for (let i = 0; i < FLAT; i++) {
      last.weightGradient[o * FLAT + i]! += g * p2.output[i]!;
      flatGradient[i]! += g * last.weight[o * FLAT + i]!;
    }
  }
  const g2 = convolveBack(conv2, p1.output, a2, unpool(flatGradient, p2.from, a2.length), HALF);
  convolveBack(conv1, image, a1, unpool(g2, p1.from, a1.length), SIDE);
  return right;
}

function step(rate: number, batch: number): void {
  for (const l of [conv1, conv2, last]) {
    for (let i = 0; i < l.weight.length; i++) {
      l.weightVelocity[i] = 0.9 * l.weightVelocity[i]! - (rate * l.weightGradient[i]!) / batch;
      l.weight[i] = (l.weight[i]! + l.weightVelocity[i]!) * l.mask[i]!;
    }
    for (let i = 0; i < l.bias.length; i++) {
      l.biasVelocity[i] = 0.9 * l.biasVelocity[i]! - (rate * l.biasGradient[i]!) / batch;
      l.bias[i]! += l.biasVelocity[i]!;
    }
    l.weightGradient.fill(0);
    l.biasGradient.fill(0);
  }
}

function train(steps: number, rate: number): void {
  const batch = 16;
  let right = 0;
  for (let s = 1; s <= steps; s++) {
    for (let i = 0; i < batch; i++) {
      const digit = Math.floor(random() * CLASSES);
      if (learn(drawDigit(digit, random), digit)) right++;
    }
    step(rate * (0.5 + 0.5 * Math.cos((Math.PI * s) / steps)), batch);
    if (s % 100 === 0) {
      console.log(`  step ${s}: ${((100 * right) / (100 * batch)).toFixed(1)} % right`);
      right = 0;
    }
  }
}

/** Keeps, in every block, the rows and the columns of the largest norm. */
function prune(l: Layer, blockRows: number, blockCols: number, keepRows: number, keepCols: number): void {
  for (let top = 0; top < l.rows; top += blockRows)
    for (let left = 0; left < l.cols; left += blockCols) {
      const height = Math.min(blockRows, l.rows - top);
      const width = Math.min(blockCols, l.cols - left);
      const square = (r: number, c: number): number => l.weight[(top + r) * l.cols + left + c]! ** 2;
      const largest = (length: number, keep: number, norm: (i: number) => number): Set<number> =>
        new Set(
          Array.from({ length }, (_, i) => i)
            .sort((a, b) => norm(b) - norm(a))
            .slice(0, keep),
        );
      const sum = (length: number, term: (i: number) => number): number =>
        Array.from({ length }, (_, i) => term(i)).reduce((a, b) => a + b, 0);
      const rows = largest(height, keepRows, (r) => sum(width, (c) => square(r, c)));
      const cols = largest(width, keepCols, (c) => sum(height, (r) => (rows.has(r) ? square(r, c) : 0)));
      for (let r = 0; r < height; r++)
        for (let c = 0; c < width; c++) {
          const at = (top + r) * l.cols + left + c;
          if (rows.has(r) && cols.has(c)) continue;
          l.mask[at] = 0;
          l.weight[at] = 0;
          l.weightVelocity[at] = 0;
        }
    }
}

function tinyCnn(): Graph {
  const float32 = (shape: readonly number[], data: Float64Array): Tensor<'float32'> => ({
    dtype: 'float32',
    shape,
    data: Float32Array.from(data),
  });
  return graph('tiny-cnn', (b) => {
    const image = b.input('image', 'float32', ['N', 1, SIDE, SIDE]);
    const relu = (x: string, name: string, l: Layer): string => {
      const weight = b.weight(`${name}.weight`, float32([l.rows, l.cols / 9, 3, 3], l.weight));
      const bias = b.weight(`${name}.bias`, float32([l.rows], l.bias));
      const y = b.add('Conv', [x, weight, bias], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }, { name });
      return b.add('Relu', [y], {}, { name: `${name}.relu` });
    };
    const halve = (x: string, name: string): string =>
      b.add('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] }, { name });
    const pooled = halve(relu(halve(relu(image, 'conv1', conv1), 'pool1'), 'conv2', conv2), 'pool2');
    const flat = b.add('Flatten', [pooled], {}, { name: 'flatten' });
    const weight = b.weight('digits.weight', float32([CLASSES, FLAT], last.weight));
    const bias = b.weight('digits.bias', float32([CLASSES], last.bias));
    const scores = b.add('Gemm', [flat, weight, bias], { transB: 1 }, { name: 'digits' });
    b.output('probabilities', b.add('Softmax', [scores], { axis: -1 }, { name: 'softmax', output: 'probabilities' }));
  });
}

/** Pictures of the given digits as one input. */
function batchOf(digits: readonly number[], source: () => number): Tensor<'float32'> {
  const data = new Float32Array(digits.length * SIDE * SIDE);
  for (const [i, digit] of digits.entries()) data.set(drawDigit(digit, source), i * SIDE * SIDE);
  return { dtype: 'float32', shape: [digits.length, 1, SIDE, SIDE], data };
}

function answers(
  model: Graph,
  image: Tensor<'float32'>,
): { readonly output: Tensor; readonly digits: readonly number[] } {
  const output = evaluate(model, { image })['probabilities'] as Tensor<'float32'>;
  const rows = Array.from({ length: output.data.length / CLASSES }, (_, i) => [
    ...output.data.subarray(i * CLASSES, (i + 1) * CLASSES),
  ]);
  return { output, digits: rows.map((row) => row.indexOf(Math.max(...row))) };
}

console.log('dense:');
train(500, 0.05);
prune(conv2, 4, 18, 2, 9);
prune(last, 2, 16, 2, 6);
console.log('pruned:');
train(500, 0.03);

const model = tinyCnn();
const all = Array.from({ length: CLASSES }, (_, digit) => digit);
const test = Array.from({ length: 500 }, (_, i) => i % CLASSES);
const right = answers(model, batchOf(test, randomSource(7))).digits.filter((digit, i) => digit === test[i]).length;
console.log(`unseen pictures read right: ${right} of ${test.length}`);

const image = batchOf(all, randomSource(11));
const { output, digits } = answers(model, image);
console.log(`test data set: pictures of ${all.join(' ')}, read as ${digits.join(' ')}`);
const folder = join(import.meta.dirname, 'tiny-cnn');
mkdirSync(join(folder, 'test_data_set_0'), { recursive: true });
writeFileSync(join(folder, 'model.onnx'), toOnnx(model));
writeFileSync(join(folder, 'test_data_set_0', 'input_0.pb'), writeTensorFile('image', image));
writeFileSync(join(folder, 'test_data_set_0', 'output_0.pb'), writeTensorFile('probabilities', output));

const pictures = join(import.meta.dirname, 'digits');
mkdirSync(pictures, { recursive: true });
for (const digit of [3, 7]) {
  const pixels = image.data.slice(digit * SIDE * SIDE, (digit + 1) * SIDE * SIDE) as Float32Array;
  const data = Uint8Array.from(pixels, (value) => Math.round(255 * Math.min(1, Math.max(0, value))));
  writeFileSync(join(pictures, `${digit}.png`), encode({ width: SIDE, height: SIDE, channels: 1, data }));
}
