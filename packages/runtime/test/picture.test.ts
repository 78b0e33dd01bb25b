/** From pictures to inputs: by hand on small ones. That the numbers are torchvision's and those of `grim run`, the command's tests say. */
import { compile, pack } from '@grim/codegen';
import { type DType, graph, type ImagePreprocess } from '@grim/ir';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/index.ts';
import { type PictureOptions, pictureInput, resizePixels } from '../src/picture.ts';

/** A model that gives its input back. */
async function model(shape: readonly number[], preprocess?: ImagePreprocess, dtype: DType = 'float32') {
  const net = graph('same', (b) => b.output('y', b.add('Identity', [b.input('x', dtype, shape)])));
  const compiled = compile(net);
  const inputs = compiled.manifest.inputs.map((one) => ({ ...one, ...(preprocess && { preprocess }) }));
  return loadModel(pack({ ...compiled, manifest: { ...compiled.manifest, inputs } }));
}

/** Two pixels wide, one high, as a canvas has them: red 10, green 20, blue 30, then 40, 50, 60. */
const PAIR = { width: 2, height: 1, data: Uint8ClampedArray.of(10, 20, 30, 255, 40, 50, 60, 0) };

const close = (values: unknown, wanted: readonly number[]) => {
  expect(Array.from(values as Float32Array)).toEqual(wanted.map((one) => Math.fround(one)));
};
const error = async (work: () => unknown) => {
  try {
    await work();
  } catch (caught) {
    return caught as { readonly code: string; readonly message: string };
  }
  throw new Error('nothing was refused');
};

describe('a picture becomes an input', () => {
  it('colours in planes from 0 to 1 where the file says nothing, and the model runs on it', async () => {
    using same = await model([1, 3, 1, 2]);
    const wanted = [10, 40, 20, 50, 30, 60].map((one) => one / 255);
    close(pictureInput(same, PAIR)['x'], wanted);
    close((await same.run(pictureInput(same, PAIR)))['y'], wanted);
  });

  it('as the file says: order, mean, spread and layout', async () => {
    const preprocess = { layout: 'NHWC', channels: 'bgr', mean: [0.5, 0.25, 0], std: [2, 1, 0.5] } as const;
    using same = await model([1, 1, 2, 3], preprocess);
    const of = (b: number, g: number, r: number) => [(b / 255 - 0.5) / 2, g / 255 - 0.25, r / 255 / 0.5];
    close(pictureInput(same, PAIR)['x'], [...of(30, 20, 10), ...of(60, 50, 40)]);
  });

  it('gray by the weights of ITU-R 601, one channel as it is, bytes as bytes', async () => {
    using gray = await model([1, 1, 1, 2]);
    const luma = (r: number, g: number, b: number) => Math.round(0.299 * r + 0.587 * g + 0.114 * b) / 255;
    close(pictureInput(gray, PAIR)['x'], [luma(10, 20, 30), luma(40, 50, 60)]);
    close(pictureInput(gray, { width: 2, height: 1, channels: 1, data: Uint8Array.of(7, 255) })['x'], [7 / 255, 1]);
    using bytes = await model([3, 1, 2], undefined, 'uint8');
    expect(pictureInput(bytes, PAIR)['x']).toEqual(Uint8Array.of(10, 40, 20, 50, 30, 60));
  });

  it('of another size: the middle, the shorter side first, or stretched', async () => {
    using same = await model([1, 1, 2, 2]);
    const row = [0, 51, 102, 153, 204, 255];
    const wide = { width: 6, height: 2, channels: 1, data: Uint8Array.of(...row, ...row) } as const;
    const of = (options: PictureOptions) => pictureInput(same, wide, options)['x'];
    close(
      of({}),
      [102, 153, 102, 153].map((one) => one / 255),
    );
    const halves = resizePixels(wide, 2, 2).data;
    close(
      of({ resize: 'stretch' }),
      Array.from(halves, (one) => one / 255),
    );
    const larger = resizePixels(wide, 12, 4).data;
    close(
      of({ resize: 4 }),
      [17, 18, 29, 30].map((at) => (larger[at] ?? 0) / 255),
    );
    // 0, 51, 102 weigh 3 : 3 : 2 and less behind them: a triangle of three pixels to each side.
    expect(Array.from(halves)).toEqual([halves[0], 255 - (halves[0] ?? 0), halves[0], 255 - (halves[0] ?? 0)]);
  });
});

describe('what is no picture, or no input for one, is refused in words', () => {
  it.for([
    [{ width: 2, height: 2, data: new Uint8Array(4) }, 'BAD_INPUT', /2 × 2 pixels of 4 samples are 16, 4 were given/],
    [{ width: 0, height: 0 }, 'BAD_INPUT', /0 × 0 pixels; 1 to 67108864/],
    [{ width: 1e5, height: 1e5 }, 'BAD_INPUT', /100000 × 100000 pixels/],
    [{ width: 2, height: 2 }, 'BAD_INPUT', /nothing draws here/],
    [{ width: 1.5, height: 2, data: new Uint8Array(12) }, 'BAD_INPUT', /1\.5 × 2/],
    [{ width: 1, height: 65536, channels: 1, data: new Uint8Array(65536) }, 'BAD_INPUT', /224 × 14680064 pixels/],
  ] as const)('%o', async ([picture, code, words]) => {
    using same = await model([1, 3, 224, 224]);
    expect(await error(() => pictureInput(same, picture))).toMatchObject({
      code: `GRIM_RUNTIME_${code}`,
      message: expect.stringMatching(words),
    });
  });

  it.for([
    [[1, 2, 4, 4], {}, /\[1, 2, 4, 4\]; a picture \(rgb, NCHW\) does not fit/],
    [[2, 3, 4, 4], {}, /one picture is given at a time/],
    [[3], {}, /does not fit/],
    [[1, 3, 1, 2], { input: 'xs' }, /no input "xs"; it has "x"\. Did you mean "x"\?/],
    [[1, 3, 1, 2], { resize: 0 }, /resize is "0"/],
    [[1, 3, 4, 4], { resize: 3 }, /with resize 3 the picture is 6 × 3, the input 4 × 4\. Take at least 4/],
  ] as const)('a model that takes %o, with %o', async ([shape, options, words]) => {
    using same = await model(shape);
    expect((await error(() => pictureInput(same, PAIR, options))).message).toMatch(words);
  });

  it('several inputs: which one must be said', async () => {
    const net = graph('sum', (b) => {
      const both = ['a', 'b'].map((name) => b.input(name, 'float32', [1, 3, 1, 2]));
      b.output('y', b.add('Add', both));
    });
    using two = await loadModel(pack(compile(net)));
    expect((await error(() => pictureInput(two, PAIR))).message).toMatch(/has 2 inputs \("a", "b"\)\. Say which/);
    expect(Object.keys(pictureInput(two, PAIR, { input: 'b' }))).toEqual(['b']);
  });
});
