/**
 * TypeScript types of a compiled model, as the text of a `.d.ts` file: what stands beside `model.grim` so that a wrong name,
 * element type or length is found by the compiler. `grim types` and `@grim/vite-plugin` write the same bytes.
 *
 * The names come from a file that anybody may have made: they stand in string literals alone, printable ASCII alone.
 */
import type { DType, Manifest, ValueInfo } from '@grim/ir';

/** What such a file begins with: a newer one may replace it. */
const FIRST_LINE = '// Types of a compiled model, written by GRIM; do not edit.';

const ARRAYS: Readonly<Record<DType, string>> = {
  float32: 'Float32Array',
  float64: 'Float64Array',
  float16: 'Uint16Array',
  bfloat16: 'Uint16Array',
  int8: 'Int8Array',
  int16: 'Int16Array',
  int32: 'Int32Array',
  int64: 'BigInt64Array',
  uint8: 'Uint8Array',
  uint16: 'Uint16Array',
  uint32: 'Uint32Array',
  uint64: 'BigUint64Array',
  bool: 'Uint8Array',
};

/** What of a manifest the types say. */
export type Signature = Pick<Manifest, 'name' | 'inputs' | 'outputs' | 'states'>;

/**
 * The declarations of what `import './model.grim'` gives: `Inputs` and `Outputs` by name, `load`, `url`, and the shapes as
 * literal types. The same manifest gives the same text. Inputs that are recurrent states may be left out of a run.
 * @param signature  a manifest, or the four fields of one
 */
export function declarations({ name, inputs, outputs, states }: Signature): string {
  const kept = new Set(states.map(({ input }) => input));
  const arrays = (values: readonly ValueInfo[]): string[] =>
    values.flatMap((value) => [
      `  /** ${value.dtype} [${value.shape.join(', ')}]${kept.has(value.name) && values === inputs ? ', a state: what the last run left' : ''} */`,
      `  ${literal(value.name)}${kept.has(value.name) && values === inputs ? '?' : ''}: ${sized(value)};`,
    ]);
  const facts = (values: readonly ValueInfo[]): string[] =>
    values.map(
      (value) =>
        `  readonly ${literal(value.name)}: { readonly dtype: ${literal(value.dtype)}; readonly shape: readonly [${value.shape.join(', ')}]; ` +
        `readonly length: ${elements(value)}; create(): ${sized(value)} };`,
    );
  const lines = [
    FIRST_LINE,
    `// Model ${literal(name)}.`,
    "import type { LoadOptions, Model, Sized } from '@grim/runtime';",
    '',
    '/** What `run` takes. */',
    ...block('export type Inputs = {', arrays(inputs), '};'),
    '',
    '/** What `run` gives. */',
    ...block('export type Outputs = {', arrays(outputs), '};'),
    '',
    '/** Loads the file of this model; options and errors are those of `loadModel`. */',
    'export declare function load(options?: LoadOptions): Promise<Model<Inputs, Outputs>>;',
    '/** Where the file is: for the other `loadModel`s, `loadModel<Inputs, Outputs>(url)`. */',
    'export declare const url: string;',
    '/** By name: type, shape, number of elements, and a new array of zeros. */',
    ...block('export declare const inputs: {', facts(inputs), '};'),
    ...block('export declare const outputs: {', facts(outputs), '};'),
    '',
    'declare const model: {',
    '  readonly load: typeof load;',
    '  readonly url: string;',
    '  readonly inputs: typeof inputs;',
    '  readonly outputs: typeof outputs;',
    '};',
    'export default model;',
    '',
  ];
  return lines.join('\n');
}

/**
 * The program that goes with {@link declarations}: a module that loads the model from where `url` says.
 * @param url  an expression of JavaScript; it may use what `head` imports
 * @param head  lines in front of everything else
 */
export function modelModule({ inputs, outputs }: Signature, url: string, head = ''): string {
  const facts = (values: readonly ValueInfo[]): string[] =>
    values.map((value) => {
      const length = elements(value);
      // In brackets, a key "__proto__" is one like any other.
      return (
        `  [${literal(value.name)}]: { dtype: ${literal(value.dtype)}, shape: [${value.shape.join(', ')}], length: ${length}, ` +
        `create: () => new ${ARRAYS[value.dtype]}(${length}) },`
      );
    });
  const lines = [
    ...(head === '' ? [] : [head]),
    "import { loadModel } from '@grim/runtime';",
    `export const url = ${url};`,
    'export const load = (options) => loadModel(url, options);',
    ...block('export const inputs = {', facts(inputs), '};'),
    ...block('export const outputs = {', facts(outputs), '};'),
    'export default { load, url, inputs, outputs };',
    '',
  ];
  return lines.join('\n');
}

const block = (open: string, lines: readonly string[], close: string): string[] =>
  lines.length === 0 ? [open + close] : [open, ...lines, close];

const elements = ({ shape }: ValueInfo): number => shape.reduce((product, length) => product * length, 1);

const sized = (value: ValueInfo): string => `Sized<${ARRAYS[value.dtype]}, ${elements(value)}>`;

/** Any text as a literal of TypeScript and JavaScript: no character that ends a line, a comment or a script, or turns text around. */
function literal(text: string): string {
  return JSON.stringify(text).replace(
    /[^ -~]|</g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
