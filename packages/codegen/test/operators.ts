/**
 * The table of docs/operators.md, made by trying: each operator is compiled once for each element type of its first input,
 * with constants where it wants parameters.
 *
 * `npm run operators` in packages/codegen writes it.
 */
import {
  DTYPES,
  type DType,
  fromReals,
  type Graph,
  GrimError,
  graph,
  OPS,
  type OpName,
  verify,
  type Weight,
} from '@grim/ir';
import { compile } from '../src/compile.ts';
import { SAMPLES, type Sample } from './operator-samples.ts';

export interface Row {
  readonly since: number;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly types: Readonly<Record<string, readonly DType[]>>;
}

const typeIn = (signature: string | undefined) => signature?.split(': ')[1] ?? '*';

/** The key of the types that are tried, and the types there are. */
function triedTypes(row: Row): readonly [key: string, types: readonly DType[]] {
  const key = typeIn(row.inputs[0] ?? row.outputs[0]);
  if (key === '*') return [key, DTYPES];
  return [key, row.types[key] ?? [key as DType]];
}

/** A graph of one node, its first input of type `dtype`. */
export function sampleOf(op: OpName, row: Row, dtype: DType): Graph {
  const sample: Sample = SAMPLES[op] ?? {};
  const required = row.inputs.filter((input) => !input.split(':')[0]?.endsWith('?'));
  const given = sample.inputs ?? required.map(() => [2, 3]);
  const [tried] = triedTypes(row);
  return graph(op, (b) => {
    const names = given.map((value, i) => {
      const key = typeIn(row.inputs[Math.min(i, row.inputs.length - 1)]);
      const preferred: readonly DType[] = [dtype, 'float32', 'int64'];
      const allowed = row.types[key];
      const type =
        key === tried && key !== '*'
          ? dtype
          : allowed
            ? (preferred.find((one) => allowed.includes(one)) ?? allowed[0])
            : undefined;
      const own = op === 'Loop' ? (['int64', 'bool', 'float32'] as const)[i] : undefined;
      const inputType = own ?? type ?? (key === '*' ? dtype : (key as DType));
      if (!('constant' in value)) return b.input(`i${i}`, inputType, value);
      const list = typeof value.constant === 'number' ? [value.constant] : value.constant;
      const shape = typeof value.constant === 'number' ? [] : [list.length];
      return b.weight(`i${i}`, fromReals(inputType, shape, list) as Weight);
    });
    const inputs = op === 'If' ? names.slice(0, 1) : names;
    // Empty lists stand for parameters that are not given.
    const kept = inputs.map((name, i) => {
      const value = given[i];
      return value && !('constant' in value) && value.length === 1 && value[0] === 0 ? '' : name;
    });
    const outputs = b.addMany(op, kept, sample.outputs ?? 1, sample.attributes ?? {});
    outputs.forEach((output, i) => {
      b.output(`y${i}`, output);
    });
  });
}

const GROUPS: readonly (readonly [string, readonly DType[]])[] = [
  ['all', DTYPES],
  ['numbers', DTYPES.filter((dtype) => dtype !== 'bool')],
  ['floats', ['float32', 'float64', 'float16', 'bfloat16']],
  ['integers', ['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64']],
  ['signed', ['int8', 'int16', 'int32', 'int64']],
  ['unsigned', ['uint8', 'uint16', 'uint32', 'uint64']],
];

/** Element types in as few words as they take. */
function words(types: readonly DType[]): string {
  const left = new Set(types);
  const found: string[] = [];
  for (const [name, members] of GROUPS)
    if (members.every((dtype) => left.has(dtype))) {
      found.push(name);
      for (const dtype of members) left.delete(dtype);
    }
  return [...found, ...left].join(', ') || '—';
}

/** What the compiler says, without the name of the node. */
function reasonOf(error: GrimError): string {
  const nodes = error.details['nodes'] as readonly { readonly found: string; readonly supported: string }[] | undefined;
  const [first] = nodes ?? [];
  if (!first) throw error;
  return `${first.found}; supported: ${first.supported}`;
}

interface Tried {
  readonly taken: readonly DType[];
  readonly compiled: readonly DType[];
  readonly onGpu: readonly DType[];
  readonly reason: string | undefined;
}

function tryTypes(op: OpName, row: Row): Tried {
  const taken: DType[] = [];
  const compiled: DType[] = [];
  const onGpu: DType[] = [];
  let reason: string | undefined;
  for (const dtype of triedTypes(row)[1]) {
    const sample = sampleOf(op, row, dtype);
    const [problem] = verify(sample).filter(({ severity }) => severity === 'error');
    if (problem) {
      // A type that this form does not take; one that none takes is a mistake of the sample.
      reason ??= problem.message;
      continue;
    }
    taken.push(dtype);
    try {
      compile(sample);
      compiled.push(dtype);
      if (hasShaders(sample)) onGpu.push(dtype);
    } catch (error) {
      if (!(error instanceof GrimError) || error.code !== 'GRIM_CODEGEN_UNSUPPORTED_OP') throw error;
      reason = reasonOf(error);
    }
  }
  if (taken.length === 0) throw new Error(`the sample of ${op} fits no type: ${reason}`);
  return { taken, compiled, onGpu, reason: compiled.length === 0 ? reason : undefined };
}

function hasShaders(sample: Graph): boolean {
  try {
    compile(sample, { targets: ['wasm', 'webgpu'] });
    return true;
  } catch (error) {
    if (!(error instanceof GrimError) || error.code !== 'GRIM_CODEGEN_NO_SHADER') throw error;
    return false;
  }
}

/** The whole file. */
export function operatorTable(): string {
  const rows = Object.entries(OPS as unknown as Record<OpName, Row>).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = rows.map(([op, row]) => {
    const { taken, compiled, onGpu, reason } = tryTypes(op as OpName, row);
    const wasm = reason === undefined ? words(compiled) : `— (${reason})`;
    return `| ${op} | ${row.since} | ${words(taken)} | ${wasm} | ${words(onGpu)} |`;
  });
  return `# Operators

Every operator that the graph knows, by the name it has in ONNX, in its newest form; older forms are rewritten when a file is
read. *Since* is the opset of that form. The columns name the element types of the first input: those that the reference
computes, and those that are compiled to WebAssembly and to WebGPU. *Floats* are float32, float64, float16 and bfloat16; *integers* are
signed and unsigned ones of 8 to 64 bits; *numbers* are both, *all* is numbers and bool.

A type stands in the table when a small node of the operator compiles with it. Some forms want more: shapes are known before a
run, and so are the parameters that decide them (the target of a Reshape, the number of a TopK). The compiler lists every
node that it cannot take, with what was found and what is supported.

This file is written by \`npm run operators\` in \`packages/codegen\`; do not edit it.

| operator | since | reference | WebAssembly | WebGPU |
| --- | --- | --- | --- | --- |
${lines.join('\n')}
`;
}
