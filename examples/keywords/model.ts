// Makes keywords.grim: from the GRU that hears a whole second at once, one that hears 20 ms at a time and keeps its state
// between runs.    node model.ts kws_gru_l/model.onnx
import { readFile, writeFile } from 'node:fs/promises';
import { compile, pack } from '@grim/codegen';
import { graph } from '@grim/ir';
import { fromOnnx } from '@grim/ir/onnx';

const UNITS = 400;
const WORDS = 'silence unknown yes no up down left right on off stop go'.split(' ');

const whole = fromOnnx(await readFile(process.argv[2] ?? 'model.onnx'), { dims: { N: 1 } });
const gru = whole.nodes.find((node) => node.op === 'GRU');
const gemm = whole.nodes.find((node) => node.op === 'Gemm');
if (!gru || !gemm) throw new Error('the model has no GRU or no Gemm: is it kws_gru_l?');
const step = graph('keywords', (b) => {
  const weight = (name = '') => {
    const found = whole.weights.get(name);
    if (!found) throw new Error(`${name} is no weight of the model`);
    return b.weight(name, found);
  };
  const [, w, r, bias] = gru.inputs;
  const mfcc = b.input('mfcc', 'float32', [1, 1, 10]); // [time, batch, coefficients]
  const before = b.input('before', 'float32', [1, 1, UNITS]);
  b.addMany('GRU', [mfcc, weight(w), weight(r), weight(bias), '', before], ['', 'after'], { hidden_size: UNITS });
  const [, matrix, offset] = gemm.inputs;
  const flat = b.add('Reshape', [
    'after',
    b.weight('shape', { dtype: 'int64', shape: [2], data: BigInt64Array.of(1n, 400n) }),
  ]);
  b.output('logits', b.add('Gemm', [flat, weight(matrix), weight(offset)], gemm.attributes, { output: 'logits' }));
  b.output('after', 'after');
});

const compiled = compile(step);
const outputs = compiled.manifest.outputs.map((o) => (o.name === 'logits' ? { ...o, labels: WORDS } : o));
const manifest = { ...compiled.manifest, outputs, states: [{ input: 'before', output: 'after' }] };
await writeFile('keywords.grim', pack({ ...compiled, manifest }));
