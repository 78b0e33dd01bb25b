/** `grim reram`: its help, its examples, and what its commands say. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { graph, type Weight } from '@grim/ir';
import { toOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { RERAM_EXAMPLES } from '../src/reram/args.ts';
import { grim, ROOT, TINY, temporaryFolder } from './grim.ts';

/** A busy machine makes a command say how far it is. */
const withoutProgress = (err: string): string => err.replaceAll(/^grim: .*: \d+ of \d+\n/gm, '');

describe('the commands of grim reram', () => {
  it.for(['', ...Object.keys(RERAM_EXAMPLES)])('print help for "%s" within 80 columns', async (name) => {
    const { code, out, err } = await grim(['reram', ...(name ? [name] : []), '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect((RERAM_EXAMPLES[name] ?? []).length).toBeGreaterThanOrEqual(name ? 2 : 0);
    for (const [example] of RERAM_EXAMPLES[name] ?? []) expect(out).toContain(`\n  grim ${example}`);
  });

  it.for(Object.values(RERAM_EXAMPLES).flat())('run the example: grim %s', async ([line]) => {
    // Paths in the examples are those of the repository's root.
    const argv = line.split(' ').map((word) => word.replace(/(^|=)apps\//, `$1${ROOT}/apps/`));
    const { code, out, err } = await grim(argv);
    expect([code, withoutProgress(err)]).toEqual([0, '']);
    if (line.includes('--json')) expect(JSON.parse(out).schema).toBe(`grim.reram.${line.split(' ')[1]}/1`);
    else expect(out.length).toBeGreaterThan(20);
    for (const row of line.includes('--json') ? [] : out.split('\n')) expect(row.length).toBeLessThanOrEqual(80);
  });

  it('ask for a command, and for one that exists', async () => {
    for (const [argv, says] of [
      [['reram'], /a command is missing.*Usage: grim reram <command>/],
      [['reram', 'chek'], /unknown command 'chek'. Did you mean check\?/],
      [['reram', 'check'], /<file\|folder> is missing/],
    ] as const) {
      const { code, err } = await grim(argv);
      expect([code, err]).toEqual([2, expect.stringMatching(says)]);
    }
  });
});

const json = async (argv: readonly string[]) => {
  const { code, out, err } = await grim(['reram', ...argv, '--json']);
  return { code, err, report: out === '' ? undefined : JSON.parse(out) };
};

describe('grim reram simulate', () => {
  it('M6: perfect crossbars and exact converters give the outputs of the integers, bit for bit', async () => {
    for (const more of [
      ['--preset', 'ideal'],
      ['--fit', '4'],
      ['--fit', '5', '--every-conversion', '--subtract', 'analog'],
    ]) {
      const { code, report } = await json(['simulate', TINY, '--threads', '1', ...more]);
      expect([code, report.identical, report.scores.crossbars.mean]).toEqual([0, true, 1]);
    }
  });

  it('M4: broken cells do not depend on the number of workers, and depend on the seed', async () => {
    const broken = (...more: readonly string[]) =>
      json(['simulate', TINY, '--device', 'stuckHrs=0.05', '--trials', '3', ...more]);
    const [one, two, other] = await Promise.all([
      broken('--threads', '1'),
      broken('--threads', '2'),
      broken('--seed', '9', '--threads', '1'),
    ]);
    expect(two.report.scores).toEqual(one.report.scores);
    expect(two.report.layers.map((layer: { conversions: number }) => layer.conversions)).toEqual(
      one.report.layers.map((layer: { conversions: number }) => layer.conversions),
    );
    expect(one.report.identical).toBe(false);
    expect(other.report.layers.map((layer: { stuckCells: number }) => layer.stuckCells)).not.toEqual(
      one.report.layers.map((layer: { stuckCells: number }) => layer.stuckCells),
    );
  });
});

describe('grim reram simulate --attribute', () => {
  it('M6: turns each non-ideality off in turn, and on alone: of two, the one alone is the whole without the other', async () => {
    const argv = ['simulate', TINY, '--device', 'stuckLrs=0.1', '--seed', '3', '--threads', '1'];
    const { code, report } = await json([...argv, '--attribute']);
    expect(code).toBe(0);
    const of = (list: readonly { name: string; score: number }[], name: string) =>
      list.find((one) => one.name === name)?.score;
    expect(report.without.map(({ name }: { name: string }) => name)).toEqual(['adc', 'stuckLrs']);
    expect(report.alone.map(({ name }: { name: string }) => name)).toEqual(['adc', 'stuckLrs']);
    expect(of(report.alone, 'adc')).toBe(of(report.without, 'stuckLrs'));
    expect(of(report.alone, 'stuckLrs')).toBe(of(report.without, 'adc'));
    const { report: whole } = await json(['simulate', TINY, '--seed', '3', '--threads', '1']);
    expect(of(report.alone, 'adc')).toBe(whole.scores.crossbars.mean);
  });
});

describe('mixed converters and broken cells', () => {
  it('M6: cost and simulate give each layer its converters within a budget, and say what they lose', async () => {
    const all = await json(['cost', TINY, '--budget', '1']);
    expect(all).toMatchObject({ code: 0, report: { lossless: true, budget: { error: 0 } } });
    const some = await json(['cost', TINY, '--budget', '0.8']);
    const { largest, layers, options } = some.report.budget;
    expect(layers.map(({ bits }: { bits: number }) => bits).some((bits: number) => bits < largest)).toBe(true);
    expect(some.report.totals.energyPj).toBeLessThan(all.report.totals.energyPj);
    // Parts other than converters cost what they did: the budget is of the whole.
    const most = options.reduce(
      (sum: number, one: { options: { price: number }[] }) => sum + Math.max(...one.options.map(({ price }) => price)),
      0,
    );
    expect(some.report.totals.energyPj).toBeLessThanOrEqual(0.8 * most * 1.2);
    const run = await json(['simulate', TINY, '--budget', '0.8', '--threads', '1']);
    expect(run.report.budget.layers).toEqual(layers);
    expect(run.report.layers.map(({ adcBits }: { adcBits: number }) => adcBits)).toEqual(
      layers.map(({ bits }: { bits: number }) => bits),
    );
    const area = await json(['cost', TINY, '--budget', '0.97', '--price', 'area']);
    expect(area.report.budget).toMatchObject({ price: 'area', error: 0 });
    expect(await json(['cost', TINY, '--budget', '0.1'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/the budget is 10.0 %.*GRIM_RERAM_BAD_TARGET/s),
    });
    expect(await json(['cost', TINY, '--budget', '1.5'])).toMatchObject({ code: 2 });
    expect((await json(['cost', TINY, '--budget', '0.9', '--mixed'])).err).toMatch(/leave out --mixed/);
  });

  it('M6: explore sets mixed converters beside its points', async () => {
    const { code, report } = await json(['explore', TINY, '--adc-bits', '8', '--budget', '0.9,0.8', '--threads', '1']);
    expect(code).toBe(0);
    const mixed = report.points.filter((point: { budget?: number }) => point.budget !== undefined);
    expect(mixed.map((point: { budget: number }) => point.budget)).toEqual([0.9, 0.8]);
    for (const point of mixed) expect(point.energyUj).toBeLessThanOrEqual(point.budget * report.isaac8bit.energyUj);
  });

  it('M6: simulate moves filters and inputs around broken cells', async () => {
    const broken = ['simulate', TINY, '--device', 'stuckLrs=0.03', '--threads', '1'];
    const { report } = await json([...broken, '--remap', '--spare-slots', '4']);
    const { before, after } = report.remapped.weightError;
    expect(after).toBeLessThan(0.8 * before);
    expect(report.remapped.score).toMatchObject({ mean: expect.any(Number) });
    const { out } = await grim(['reram', ...broken, '--remap']);
    expect(out).toMatch(/crossbars, remapped .*filters and inputs moved by assignment/s);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect((await json(['simulate', TINY, '--remap'])).err).toMatch(/--remap needs broken cells/);
    expect((await json([...broken, '--spare-slots', '4'])).err).toMatch(/--spare-slots needs --remap/);
  });

  it('M6: pairs of full cells for zero take more bits, unless currents are subtracted first', async () => {
    const bits = async (...more: readonly string[]) => {
      const { report } = await json(['certify', TINY, ...more]);
      return report.needed;
    };
    expect(await bits('--zero-pair', 'high')).toBeGreaterThan(await bits('--zero-pair', 'low'));
    const analog = ['--subtract', 'analog'];
    expect(await bits('--zero-pair', 'high', ...analog)).toBe(await bits(...analog));
  });
});

describe('grim reram certify', () => {
  it('writes what --verify accepts, and --verify refuses every change of it', async () => {
    const { code, files } = await grim(['reram', 'certify', TINY, '-o', 'adc.json']);
    expect(code).toBe(0);
    const content = String(files[0]?.content);
    const file = join(temporaryFolder(), 'adc.json');
    const verify = async (text: string) => {
      writeFileSync(file, text);
      return json(['certify', TINY, '--verify', file]);
    };
    expect(await verify(content)).toMatchObject({ code: 0, report: { verified: true, lossless: true } });
    const change = (edit: (value: ReturnType<typeof JSON.parse>) => void): string => {
      const value = JSON.parse(content);
      edit(value);
      return JSON.stringify(value);
    };
    const first = (value: ReturnType<typeof JSON.parse>) => value.layers[0].certificate;
    for (const edit of [
      (v: ReturnType<typeof JSON.parse>) => first(v).columns.pop(),
      (v: ReturnType<typeof JSON.parse>) => (first(v).columns[5].high -= 1),
      (v: ReturnType<typeof JSON.parse>) => (first(v).columns[5].bits -= 1),
      (v: ReturnType<typeof JSON.parse>) => (v.layers[0].weights[3] += 2),
      (v: ReturnType<typeof JSON.parse>) => (v.layers[0].scales[0] *= 1.5),
      (v: ReturnType<typeof JSON.parse>) => (v.layers[1].name = 'other'),
      (v: ReturnType<typeof JSON.parse>) => (v.lossless = false),
      (v: ReturnType<typeof JSON.parse>) => (first(v).adcBits = 2),
    ])
      expect(await verify(change(edit))).toMatchObject({ code: 1, report: { verified: false } });
    for (const text of ['{', '[]', '{"format":"grim-network-certificate","version":1,"layers":[null]}'])
      expect((await verify(text)).err).toMatch(/GRIM_RERAM_BAD_CERTIFICATE/);
  });

  it('says when a converter is too small, and exits with the status of a condition that does not hold', async () => {
    const { code, report } = await json(['certify', TINY, '--adc-bits', '4']);
    expect([code, report.lossless, report.needed]).toEqual([3, false, 6]);
    expect(await json(['certify', TINY, '--fit', '4'])).toMatchObject({ code: 0, report: { lossless: true } });
  });
});

describe('crossbars that cannot be', () => {
  it.for<readonly [more: readonly string[], says: RegExp]>([
    [['--adc-bits', '0'], /bits is 0.*GRIM_RERAM_BAD_ADC/],
    [['--adc-bits', '33'], /bits is 33.*GRIM_RERAM_BAD_ADC/],
    [['--cell-bits', '9'], /cellBits is 9.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--cell-bits', '8', '--weight-bits', '4'], /cellBits is 8, weightBits is 4.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--cols', '2'], /takes 4 columns, an array has 2.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--rows', '70000'], /rows is 70000.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--device', 'onOffRatio=0.5'], /onOffRatio is 0.5.*GRIM_RERAM_BAD_DEVICE/],
    [['--device', 'stuckHrs=2'], /stuckHrs is 2.*GRIM_RERAM_BAD_DEVICE/],
    [['--storage', 'offset', '--fit', '4'], /offset storage.*GRIM_RERAM_UNSUPPORTED/],
    [['--device', 'colour=1'], /there are onOffRatio/],
    [['--device', 'stuckHrs=-1'], /stuckHrs is -1; a number from 0 to 1.*GRIM_RERAM_BAD_DEVICE/],
    [['--rows', '0'], /rows is 0; an integer from 1 to 65536.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--cols', '-4'], /cols is -4; an integer from 1.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--rows', '1.5'], /'1.5' is invalid. A whole number/],
    [['--cell-ohm', '0'], /cellOhm is 0; a number from .*GRIM_RERAM_BAD_CIRCUIT/],
    [['--wire-ohm', '-5'], /wireOhm is -5; a number from 0.*GRIM_RERAM_BAD_CIRCUIT/],
    [['--cell-ohm', 'NaN'], /cellOhm is NaN; a number from .*GRIM_RERAM_BAD_CIRCUIT/],
    [['--wire-ohm', 'thick'], /'thick' is invalid. A number/],
    [['--device', 'onOffRatio=NaN'], /onOffRatio is NaN; .*above 1.*GRIM_RERAM_BAD_DEVICE/],
    [['--device', 'readNoise=-0.1'], /readNoise.sigma is -0.1; a number from 0.*GRIM_RERAM_BAD_DEVICE/],
    [['--weight-bits', '1'], /weightBits is 1; an integer from 2.*GRIM_RERAM_BAD_TARGET/],
  ])('M6: %s', async ([more, says]) => {
    const { code, err, out } = await grim(['reram', 'map', TINY, ...more]);
    expect([code === 0, out]).toEqual([false, '']);
    expect(err).toMatch(says);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('grim reram map', () => {
  it('M7: solves the wires of one array when they are named, without a plot too', async () => {
    const { report } = await json(['map', TINY, '--wire-ohm', '5', '--layer', 'conv2']);
    expect(report.wires).toMatchObject({ layer: 'conv2', wireOhm: 5, cellOhm: 10_000 });
    expect(report.wires.meanLoss).toBeGreaterThan(0.001);
    const { report: none } = await json(['map', TINY, '--wire-ohm', '0']);
    expect(none.wires.largestLoss).toBeLessThan(1e-12);
    expect((await json(['map', TINY])).report.wires).toBeUndefined();
  });

  it('has one row for all groups of a depthwise convolution', async () => {
    const network = graph('depthwise', (b) => {
      const x = b.input('x', 'float32', [1, 70, 5, 5]);
      const data = Float32Array.from({ length: 70 * 9 }, (_, i) => Math.sin(i));
      const w = b.weight('w', { dtype: 'float32', shape: [70, 1, 3, 3], data });
      b.output('y', b.add('Conv', [x, w], { group: 70 }));
    });
    const file = join(temporaryFolder(), 'depthwise.onnx');
    writeFileSync(file, toOnnx(network));
    for (const command of ['map', 'certify', 'simulate']) {
      const { code, out } = await grim(['reram', command, file]);
      expect(code).toBe(0);
      expect(out).toMatch(/\(70\) /);
      expect(out.split('\n').length).toBeLessThan(20);
    }
    const { report } = await json(['map', file]);
    expect(report.layers).toHaveLength(70);
  });
});

describe('weights that are no numbers', () => {
  it.for([Number.NaN, Number.POSITIVE_INFINITY])('M6: %d in a layer is refused by its place', async (value) => {
    const network = graph('bad', (b) => {
      const x = b.input('x', 'float32', [1, 4]);
      const data = Float32Array.from({ length: 12 }, (_, i) => (i === 7 ? value : i));
      b.output('y', b.add('MatMul', [x, b.weight('w', { dtype: 'float32', shape: [4, 3], data })]));
    });
    const file = join(temporaryFolder(), 'bad.onnx');
    writeFileSync(file, toOnnx(network));
    const { code, err } = await grim(['reram', 'map', file]);
    expect(code).toBe(1);
    expect(err).toMatch(/element \[1, 2\] is (NaN|Infinity).*GRIM_RERAM_BAD_MATRIX/);
  });
});

describe('matrices that are too large', () => {
  it('M6: a map of 100 000 × 100 000 is refused with its size, before anything of it is allocated', async () => {
    const small = graph('huge', (b) => {
      const x = b.input('x', 'float32', [1, 100_000]);
      const data = new Float32Array(100_000);
      b.output('y', b.add('MatMul', [x, b.weight('w', { dtype: 'float32', shape: [100_000, 1], data })]));
    });
    const weight = { ...(small.weights.get('w') as Weight), shape: [100_000, 100_000] } as Weight;
    const file = join(temporaryFolder(), 'huge.onnx');
    writeFileSync(file, toOnnx({ ...small, weights: new Map([['w', weight]]) }));
    const before = process.memoryUsage().rss;
    for (const command of ['map', 'cost', 'certify', 'simulate', 'explore']) {
      const { code, out, err } = await grim(['reram', command, file]);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(/"w".*\[100000, 100000\].*larger than \d+ elements/);
      expect(err.trimEnd().split('\n')).toHaveLength(1);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 29);
  });
});

describe('plots', () => {
  it.for<readonly [name: string, argv: readonly string[]]>([
    ['the front of designs', ['explore', TINY, '--adc-bits', '4,8', '--threads', '1']],
    ['sums of columns', ['certify', TINY]],
    ['the voltage lost in wires', ['map', TINY, '--layer', 'conv2', '--wire-ohm', '5']],
  ])('%s: an SVG with text, and a PNG of some size', async ([, argv]) => {
    const { code, err, files } = await grim(['reram', ...argv, '--plot', 'plot.svg']);
    expect([code, withoutProgress(err)]).toEqual([0, '']);
    const svg = String(files[0]?.content);
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(svg.match(/<text/g)?.length ?? 0).toBeGreaterThan(3);
    expect(svg).not.toMatch(/NaN|undefined/);
    const png = (await grim(['reram', ...argv, '--plot', 'plot.png'])).files[0]?.content as Uint8Array;
    expect(Array.from(png.subarray(0, 4))).toEqual([0x89, 0x50, 0x4e, 0x47]);
    const size = new DataView(png.buffer, png.byteOffset);
    expect(size.getUint32(16)).toBeGreaterThan(1000);
  });

  it('are refused under another name before any work, and for layers that do not exist', async () => {
    expect(await grim(['reram', 'map', TINY, '--plot', 'plot.pdf'])).toMatchObject({ code: 2 });
    expect((await grim(['reram', 'map', TINY, '--plot', 'p.svg', '--layer', 'conv9'])).err).toMatch(
      /no layer is called "conv9"/,
    );
  });
});

describe('grim reram explore', () => {
  it('finds every point with signs apart lossless, biased storage not below 7 bits, and a front', async () => {
    const { code, report } = await json(['explore', TINY, '--adc-bits', '4,6,8', '--cp', 'none,6', '--threads', '1']);
    expect(code).toBe(0);
    interface Point {
      readonly storage: string;
      readonly lossless: boolean;
      readonly onFront: boolean;
      readonly adcBits: number;
      readonly nonZeros?: number;
    }
    const points: readonly Point[] = report.points;
    expect(points).toHaveLength(12);
    expect(points.filter(({ storage }) => storage === 'analog').every(({ lossless }) => lossless)).toBe(true);
    expect(
      points.filter(({ storage, lossless }) => storage === 'offset' && lossless).map(({ adcBits }) => adcBits),
    ).toEqual([8, 8]);
    expect(points.some(({ onFront }) => onFront)).toBe(true);
  });

  it('M6: reaches structured pruning and narrower weights, within 80 columns', async () => {
    const more = ['--cp', 'none,8', '--keep', 'none,0.5', '--weight-bits', '8,5', '--rows', '32', '--cols', '32'];
    const argv = ['explore', TINY, ...more, '--adc-bits', '5', '--storage', 'analog', '--threads', '1'];
    const { code, report } = await json(argv);
    expect([code, report.points.length]).toEqual([0, 8]);
    const arrays = (kept: number | undefined, bits: number) =>
      report.points.find(
        (point: { inputsKept?: number; weightBits: number }) => point.inputsKept === kept && point.weightBits === bits,
      )?.arrays;
    expect(arrays(0.5, 8)).toBeLessThan(arrays(undefined, 8));
    expect(arrays(undefined, 5)).toBeLessThan(arrays(undefined, 8));
    const { out } = await grim(['reram', ...argv]);
    expect(out).toMatch(/ kept /);
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it.for<readonly [more: readonly string[], says: RegExp]>([
    [['--keep', '1.5'], /up to 1/],
    [['--storage', 'glass'], /There are analog/],
    [['--rows', '0'], /rows is 0; an integer from 1.*GRIM_RERAM_BAD_TARGET/],
    [['--cell-bits', '12'], /cellBits is 12.*GRIM_RERAM_BAD_CROSSBAR/],
    [['--adc-bits', '33'], /adcBits is 33.*GRIM_RERAM_BAD_ADC/],
  ])('refuses %s', async ([more, says]) => {
    const { code, err } = await grim(['reram', 'explore', TINY, '--threads', '1', ...more]);
    expect(code).not.toBe(0);
    expect(err).toMatch(says);
  });
});
