/** `grim prune` that looks for blocks and densities itself: goals, plans that are kept, and where trials run. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromOnnx } from '@grim/ir/onnx';
import { describe, expect, it } from 'vitest';
import { readExamples } from '../src/prune/examples.ts';
import { openExecutor } from '../src/prune/executor.ts';
import { grim, start } from './grim.ts';
import { examples, folderWith, outputOf } from './prune-folder.ts';

/** Of the dense network, for one example. */
async function compiledBytes(model: string, data: string): Promise<number> {
  const output = join(dirname(model), 'dense.grim');
  const { files } = await grim([
    'prune',
    model,
    '--data',
    data,
    '-o',
    output,
    '--dim',
    'N=1',
    '--density',
    '1',
    '--json',
  ]);
  return outputOf(files, 'dense.grim').length;
}

describe('grim prune with an aim', () => {
  it('finds blocks and densities, keeps the plan for a run that goes on, and reproduces without timing again', async () => {
    const { folder, data, model } = folderWith();
    const output = join(folder, 'p.onnx');
    const argv = ['prune', model, '--data', data, '-o', output, '--target-speedup', '1.05', '--block', '2xK,4x16'];
    const more = ['--dim', 'N=8', '--seconds', '2', '--fast', '--json', '--curve', join(folder, 'curve.svg')];
    const first = await grim([...argv, ...more]);
    expect([first.code, first.code === 0 ? '' : first.err]).toEqual([0, '']);
    const { found, layers } = JSON.parse(first.out);
    expect(found.speedup).toBeGreaterThanOrEqual(1.05);
    for (const { name, target } of layers) expect(target).toBe(found.density[name]);
    expect(Object.values(found.block).every((block) => block === '2xK' || block === '4x16')).toBe(true);
    // Unstructured and structured pruning stand beside the blocks.
    expect(found.curve.map(({ series }: { series: string }) => series)).toEqual(['2xK', '4x16', '1xK', 'KxK']);
    // Candidates all keep to the aim; the one that was taken is beaten by none.
    expect(found.candidates.length).toBeGreaterThan(1);
    for (const { speedup, loss } of found.candidates) {
      expect(speedup).toBeGreaterThanOrEqual(1.05);
      expect(loss).toBeGreaterThanOrEqual(found.loss);
    }
    expect(new TextDecoder().decode(outputOf(first.files, 'curve.svg'))).toMatch(/^<svg/);
    // Again, from what is kept: the very same plan, and the same bytes.
    const second = await grim([...argv, ...more]);
    expect(JSON.parse(second.out).found).toEqual(found);
    expect(outputOf(second.files, 'p.onnx')).toEqual(outputOf(first.files, 'p.onnx'));
    const record = join(folder, 'p.onnx.run.json');
    writeFileSync(record, outputOf(first.files, 'run.json'));
    const again = await grim(['reproduce', record, '--json']);
    expect(JSON.parse(again.out)).toMatchObject({ identical: true });
  });

  it('says the best that can be had and what binds, when the aim cannot be met', async () => {
    const { folder, data, model } = folderWith();
    const argv = ['prune', model, '--data', data, '-o', join(folder, 'p.onnx'), '--seconds', '1', '--block', '4x16'];
    const { code, err, files } = await grim([...argv, '--target-speedup', '900x']);
    expect([code, files]).toEqual([1, []]);
    expect(err).toMatch(
      /the best that can be had are .* ms; most of that.*takes (conv2|conv3|fc1).*GRIM_PRUNE_BAD_TARGET/,
    );
    const small = await grim([...argv, '--max-bytes', '100']);
    expect([small.code, small.files]).toEqual([1, []]);
    expect(small.err).toMatch(/100 bytes are asked for, and the best that can be had are \d+; most of that.*takes fc1/);
  });

  it('L5: killed with SIGKILL in the middle of a search, it goes on from what was measured; the record gives the bytes', async () => {
    const { folder, data, model } = folderWith();
    const output = join(folder, 'p.onnx');
    const most = Math.round((await compiledBytes(model, data)) * 0.9);
    const aim = ['--max-bytes', String(most), '--block', '2xK', '--dim', 'N=1'];
    const argv = ['prune', model, '--data', data, '-o', output, ...aim];
    const more = ['--seconds', '1', '--fast', '--threads', '1', '--no-record'];
    const { child, ended } = start([...argv, ...more]);
    const found = (what: string) =>
      existsSync(`${output}.layers`) && readdirSync(`${output}.layers`).some((name) => name.startsWith(what));
    const timer = setInterval(() => found('curves') && child.kill('SIGKILL'), 2);
    await ended;
    clearInterval(timer);
    const resumed = await start([...argv, ...more]).ended;
    expect([resumed.code, resumed.code === 0 ? '' : resumed.err]).toEqual([0, '']);
    // Losses of single layers were not measured again, nor the blocks timed.
    expect(resumed.err).not.toMatch(/2xK at /);
    expect(existsSync(`${output}.layers`)).toBe(false);
    const again = await start(['reproduce', `${output}.run.json`, '--json']).ended;
    expect(JSON.parse(again.out)).toMatchObject({ identical: true, differences: [] });
  }, 300_000);

  it('says how long a search will take', async () => {
    const { data, model } = folderWith();
    const argv = ['prune', model, '--data', data, '--target-speedup', '2', '--dry-run', '--json'];
    const { code, out, files } = await grim(argv);
    expect([code, files]).toEqual([0, []]);
    const { seconds, searchSeconds } = JSON.parse(out);
    expect(searchSeconds).toBeGreaterThan(20);
    expect(seconds).toBeGreaterThan(searchSeconds);
  });

  it('finds a network of so many bytes, compiled', async () => {
    const { folder, data, model } = folderWith();
    const output = join(folder, 'p.grim');
    const argv = ['prune', model, '--data', data, '-o', output, '--dim', 'N=1', '--seconds', '1', '--fast', '--json'];
    const most = Math.round((await compiledBytes(model, data)) * 0.9);
    const { code, out, err, files } = await grim([...argv, '--max-bytes', String(most), '--block', '2xK']);
    expect([code, code === 0 ? '' : err]).toEqual([0, '']);
    const { found } = JSON.parse(out);
    expect(found.bytes).toBeLessThanOrEqual(most);
    // What was said of synthetic masks, of the network as it was pruned.
    expect(outputOf(files, 'p.grim').length / found.bytes).toBeLessThan(1.1);
  });

  it('finds the fastest network whose answers hardly change on examples that it was not fitted to', async () => {
    const { folder, data, model } = folderWith(examples(128));
    const argv = ['prune', model, '--data', data, '-o', join(folder, 'p.onnx'), '--seconds', '1', '--block', '4x16'];
    const { code, out } = await grim([...argv, '--batch', '16', '--max-drop', '10', '--fast', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out).found.drop).toBeLessThanOrEqual(10);
  });
});

describe('trials of a search', () => {
  const context = async () => {
    const { data, model } = folderWith();
    const net = fromOnnx(readFileSync(model));
    const { batches } = await readExamples(net, {
      data: [data],
      examples: 48,
      batch: 16,
      sheet: false,
      how: { picture: {}, audio: {} },
    } as never);
    return {
      graph: net,
      fitted: batches.slice(0, 2),
      held: batches.slice(2),
      oneShot: { activationAware: 'never' as const },
    };
  };
  const trial = (density: number) => ({
    density: { conv2: density, conv3: density, fc1: 1 },
    block: Object.fromEntries(['conv2', 'conv3', 'fc1'].map((name) => [name, { rows: 2, cols: 9 }])),
  });

  it('give the same results in this thread and in workers, several at once, in whatever order', async () => {
    const given = await context();
    const here = openExecutor(given, 1);
    const wanted = [];
    for (const density of [0.5, 0.2, 0.1]) wanted.push(await here.run(trial(density)));
    expect(wanted.map(({ loss }) => loss)).toEqual(wanted.map(({ loss }) => loss).sort((a, b) => a - b));
    const workers = openExecutor(given, 2);
    expect([here.width, workers.width]).toEqual([1, 2]);
    const found = await Promise.all([0.5, 0.2, 0.1].map((density) => workers.run(trial(density))));
    expect(found).toEqual(wanted);
    await Promise.all([here.close(), workers.close()]);
  });

  it('fail with the code of what went wrong in a worker, which then goes on', async () => {
    const workers = openExecutor(await context(), 2);
    const bad = workers.run({ density: { nowhere: 0.5 }, block: {} });
    await expect(bad).rejects.toMatchObject({ code: 'GRIM_PRUNE_NO_LAYER', details: { name: 'nowhere' } });
    expect((await workers.run(trial(0.5))).loss).toBeGreaterThan(0);
    await workers.close();
  });
});
