/** `grim reproduce` with records of `grim compile` and `grim tune`; those of `prune` and `train` are in their own tests. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromOnnx, toOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { compileModel } from '../src/compile-model.ts';
import { grim, TINY, temporaryFolder } from './grim.ts';

/** Runs a command on a copy of the small model, and puts what it writes on the disk. */
async function recorded(...argv: readonly string[]) {
  const folder = temporaryFolder();
  const model = join(folder, 'model.onnx');
  copyFileSync(TINY, model);
  const output = join(folder, 'out.grim');
  const [command = '', ...rest] = argv;
  const words = [command, model, '--dim', 'N=1', '-o', output, ...rest];
  const { code, err, files } = await grim(words);
  expect([code, err.includes('[GRIM_')]).toEqual([0, false]);
  for (const { path, content } of files) writeFileSync(path, content);
  return { folder, model, output, words, record: `${output}.run.json`, paths: files.map(({ path }) => path) };
}

/** Other weights of the same shapes. */
function change(model: string): void {
  const graph = fromOnnx(readFileSync(model));
  const weights = new Map(graph.weights);
  const [[name, weight] = []] = [...weights].filter(([, { data }]) => data instanceof Float32Array && data.length > 9);
  if (name === undefined || !weight) throw new Error('the model has no weights');
  weights.set(name, { ...weight, data: (weight.data as Float32Array).map((value) => value * 1.5) });
  writeFileSync(model, toOnnx({ ...graph, weights }));
}

const again = async (record: string) => {
  const { code, out } = await grim(['reproduce', record, '--json']);
  return { code, report: JSON.parse(out) };
};

describe('grim reproduce', () => {
  it('compile --run-json records a run that gives the same bytes again', async () => {
    const { record, words, paths, output } = await recorded('compile', '--weights', 'f16', '--run-json');
    expect(paths).toEqual([output, record]);
    expect(JSON.parse(readFileSync(record, 'utf8'))).toMatchObject({
      schema: 'grim.compile-run/1',
      argv: words,
      inputs: [{ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }],
      versions: { node: process.version },
      machine: { arch: process.arch },
    });
    const { code, report } = await again(record);
    expect([code, report]).toMatchObject([0, { command: 'compile', identical: true, differences: [] }]);
  });

  it('compile writes no record unless it is asked to', async () => {
    const { paths, output } = await recorded('compile');
    expect(paths).toEqual([output]);
  });

  it('names the model that changed since it was compiled', async () => {
    const { model, record } = await recorded('compile', '--run-json');
    change(model);
    const { code, report } = await again(record);
    expect([code, report.identical]).toEqual([3, false]);
    expect(report.differences).toEqual([expect.stringMatching(/^input ".*model\.onnx" is another file$/)]);
  });

  it('compiles with the schedules that tune found, and says that nothing was searched', async () => {
    const cache = join(temporaryFolder(), 'cache');
    const { model, record, output, words } = await recorded('tune', '--trials', '4', '--cache', cache, '--no-record');
    const kept = JSON.parse(readFileSync(record, 'utf8'));
    expect(kept).toMatchObject({ schema: 'grim.tune-run/1', argv: words, seed: 0 });
    expect(kept.schedules).toEqual(expect.any(Object));
    const { code, report } = await again(record);
    expect([code, report]).toMatchObject([0, { command: 'tune', identical: true, differences: [] }]);
    expect(report.compared).toContain('schedules that were found');
    expect(report.bytes).toBe(readFileSync(output).length);
    change(model);
    expect((await again(record)).report.differences).toEqual([expect.stringContaining('is another file')]);
  });

  it('the recorded schedules decide: with others other bytes are found', async () => {
    const cache = join(temporaryFolder(), 'cache');
    const { record } = await recorded('tune', '--trials', '4', '--cache', cache, '--no-record');
    const kept = JSON.parse(readFileSync(record, 'utf8'));
    const { model } = compileModel(readFileSync(TINY), { dims: { N: 1 } });
    const key = model.calls?.find(({ product }) => product !== undefined)?.product ?? '';
    const other = { form: 'dense', unroll: 8, groups: kept.schedules[key]?.groups === 4 ? 2 : 4 };
    writeFileSync(record, JSON.stringify({ ...kept, schedules: { ...kept.schedules, [key]: other } }));
    expect((await again(record)).code).toBe(3);
  });

  it.for([
    ['a report', { schema: 'grim.compile/1' }],
    ['another command', { schema: 'grim.compile-run/1', argv: ['run', 'x.onnx'] }],
    ['no schedules', { schema: 'grim.tune-run/1', argv: ['tune', 'x.onnx', '-o', 'x.grim'] }],
  ] as const)('refuses what is no record: %s', async ([, value]) => {
    const path = join(temporaryFolder(), 'x.run.json');
    const rest = { inputs: [], output: { path: 'x', sha256: '' }, versions: {}, machine: {} };
    writeFileSync(path, JSON.stringify({ ...rest, ...value }));
    const { code, err } = await grim(['reproduce', path]);
    expect([code, err]).toEqual([1, expect.stringContaining('[GRIM_CLI_BAD_RECORD]')]);
  });
});
