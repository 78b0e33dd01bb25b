/**
 * Reads the text form that `print()` writes; the grammar is in `docs/ir-text.md`. One pass, one token at a time.
 *
 * What comes out holds only operators and attributes of the operator table; whether names, types and shapes fit together
 * is for `verify()` to say.
 */
import { attributeProblem } from './attributes.ts';
import { GrimError, type GrimErrorCode, quote } from './errors.ts';
import { type AttributeInput, type Graph, type Node, type Weight, withDefaults } from './graph.ts';
import { type Limits, withLimits } from './limits.ts';
import { contentHash, readBase64, readElements, readNumber, utf8Length } from './literal.ts';
import { isOpName, opSpec } from './ops.ts';
import type { BcrPattern } from './pattern.ts';
import {
  allocate,
  bytesPerElement,
  type Dim,
  type DType,
  elementCount,
  isArrayOf,
  isDType,
  type Tensor,
  type TensorType,
} from './types.ts';

export interface ParseOptions {
  /** Where the weights are that the text only refers to (`@hash`), by name. */
  readonly weights?: ReadonlyMap<string, Weight>;
  readonly limits?: Partial<Limits>;
}

/**
 * @throws {GrimError} GRIM_IR_PARSE with line and column, what was found and what was needed; GRIM_IR_UNSUPPORTED_OP,
 *   GRIM_IR_BAD_ATTRIBUTE, GRIM_IR_DUPLICATE_NAME, GRIM_IR_SHAPE_OVERFLOW, GRIM_IR_LIMIT likewise;
 *   GRIM_IR_BAD_WEIGHT when a weight that the text refers to is not given, or is another one
 */
export function parse(text: string, options: ParseOptions = {}): Graph {
  const limits = withLimits(options.limits);
  if (text.length > limits.textBytes || (text.length * 3 > limits.textBytes && utf8Length(text) > limits.textBytes))
    throw new GrimError('GRIM_IR_LIMIT', `parse: the text has more than ${limits.textBytes} bytes (limit textBytes).`);
  return new Parser(text, limits, options.weights ?? new Map()).file();
}

type TokenKind = 'word' | 'string' | 'punctuation' | 'end';

const PUNCTUATION = '(){}[],=|';

/** The scanner's place in the text and the token there. A class because it owns that place. */
class Scanner {
  protected kind: TokenKind = 'end';
  /** Of a string: what it stands for. */
  protected value = '';
  protected start = 0;
  private next = 0;
  protected readonly text: string;

  constructor(text: string) {
    this.text = text;
    this.advance();
  }

  /** @throws {GrimError} at the current token */
  protected fail(message: string, code: GrimErrorCode = 'GRIM_IR_PARSE', at = this.start): never {
    let line = 1;
    let lineStart = 0;
    for (let end = this.text.indexOf('\n'); end >= 0 && end < at; end = this.text.indexOf('\n', end + 1)) {
      line++;
      lineStart = end + 1;
    }
    const column = at - lineStart + 1;
    throw new GrimError(code, `line ${line}, column ${column}: ${message}`, { line, column });
  }

  protected expected(what: string): never {
    const found = this.kind === 'end' ? 'the end of the text' : quote(this.value);
    this.fail(`found ${found}; ${what} is needed.`);
  }

  protected is(punctuation: string): boolean {
    return this.kind === 'punctuation' && this.value === punctuation;
  }

  protected accept(punctuation: string): boolean {
    const found = this.is(punctuation);
    if (found) this.advance();
    return found;
  }

  protected expect(punctuation: string, instead = quote(punctuation)): void {
    if (!this.accept(punctuation)) this.expected(instead);
  }

  protected advance(): void {
    const { text } = this;
    let at = this.next;
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x23) {
        const end = text.indexOf('\n', at);
        at = end < 0 ? text.length : end;
      } else if (!isSpace(code)) break;
    }
    this.start = Math.min(at, text.length);
    if (at >= text.length) {
      this.kind = 'end';
      this.value = '';
      this.next = text.length;
      return;
    }
    const first = text.charAt(at);
    if (first === '"') {
      this.string(at + 1);
      return;
    }
    if (PUNCTUATION.includes(first)) {
      this.kind = 'punctuation';
      this.value = first;
      this.next = at + 1;
      return;
    }
    let end = at + 1;
    while (end < text.length && !endsWord(text.charCodeAt(end))) end++;
    this.kind = 'word';
    this.value = text.slice(at, end);
    this.next = end;
  }

  private string(from: number): void {
    const { text } = this;
    const parts: string[] = [];
    let at = from;
    for (let piece = from; ; ) {
      const code = text.charCodeAt(at);
      if (at >= text.length || code === 0x0a) this.fail('the string has no closing quote on its line.');
      if (code === 0x22) {
        parts.push(text.slice(piece, at));
        break;
      }
      if (code !== 0x5c) {
        at++;
        continue;
      }
      parts.push(text.slice(piece, at));
      at = this.escape(at, parts);
      piece = at;
    }
    this.kind = 'string';
    this.value = parts.join('');
    this.next = at + 1;
  }

  /** @returns the position after the escape that begins at `at` */
  private escape(at: number, parts: string[]): number {
    const { text } = this;
    const letter = text.charAt(at + 1);
    if (letter === '"' || letter === '\\' || letter === 'n') {
      parts.push(letter === 'n' ? '\n' : letter);
      return at + 2;
    }
    const digits = /^\\u\{([0-9a-f]{1,6})\}/.exec(text.slice(at, at + 10))?.[1];
    const code = digits === undefined ? Infinity : Number.parseInt(digits, 16);
    if (digits === undefined || code > 0x10ffff)
      this.fail('found an unknown escape; \\", \\\\, \\n or \\u{…} with a code point is needed.', 'GRIM_IR_PARSE', at);
    parts.push(String.fromCodePoint(code));
    return at + digits.length + 4;
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function endsWord(code: number): boolean {
  return isSpace(code) || code === 0x22 || code === 0x23 || PUNCTUATION.includes(String.fromCharCode(code));
}

class Parser extends Scanner {
  private readonly limits: Limits;
  private readonly given: ReadonlyMap<string, Weight>;
  private nodes = 0;
  private initializers = 0;

  constructor(text: string, limits: Limits, given: ReadonlyMap<string, Weight>) {
    super(text);
    this.limits = limits;
    this.given = given;
  }

  file(): Graph {
    if (!this.isWord('grim-ir')) this.expected('"grim-ir 1", the first line of the text form,');
    this.advance();
    if (!this.isWord('1')) this.expected('version 1');
    this.advance();
    const graph = this.graph(0);
    if (this.kind !== 'end') this.expected('the end of the text');
    return graph;
  }

  private isWord(word: string): boolean {
    return this.kind === 'word' && this.value === word;
  }

  private word(what: string): string {
    if (this.kind !== 'word') this.expected(what);
    const { value } = this;
    this.advance();
    return value;
  }

  private name(what: string): string {
    if (this.kind !== 'word' && this.kind !== 'string') this.expected(what);
    const { value } = this;
    if (value.length * 3 > this.limits.nameBytes && utf8Length(value) > this.limits.nameBytes)
      this.fail(`the name has more than ${this.limits.nameBytes} bytes (limit nameBytes).`, 'GRIM_IR_LIMIT');
    this.advance();
    return value;
  }

  /** A name, or `_` for an absent value. */
  private valueName(what: string): string {
    if (!this.isWord('_')) return this.name(what);
    this.advance();
    return '';
  }

  private count(found: number, limit: keyof Limits): void {
    if (found > this.limits[limit]) this.fail(`more than ${this.limits[limit]} (limit ${limit}).`, 'GRIM_IR_LIMIT');
  }

  private graph(depth: number): Graph {
    if (!this.isWord('graph')) this.expected('"graph"');
    if (depth > this.limits.subgraphDepth)
      this.fail(
        `bodies are nested more than ${this.limits.subgraphDepth} deep (limit subgraphDepth).`,
        'GRIM_IR_LIMIT',
      );
    this.advance();
    const name = this.name('the name of the graph');
    const inputs = new Map<string, TensorType>();
    const outputs = new Map<string, string>();
    const nodes: Node[] = [];
    const weights = new Map<string, Weight>();
    this.expect('{');
    while (!this.accept('}')) {
      const at = this.start;
      if (this.accept('(')) {
        this.expect(')');
        nodes.push(this.node([], at, depth));
        continue;
      }
      const bare = this.kind === 'word';
      const first = this.valueName('an input, a weight, a node, an output, or "}"');
      if (this.is('=') || this.is(',')) {
        const made = [first];
        while (this.accept(',')) made.push(this.valueName('the name of an output'));
        this.count(made.length, 'valuesPerNode');
        nodes.push(this.node(made, at, depth));
      } else if (bare && first === 'input') this.input(inputs);
      else if (bare && first === 'weight') this.weight(weights);
      else if (bare && first === 'output') this.output(outputs);
      else this.expected(`"=" and an operator after ${quote(first)}`);
    }
    return { name, inputs, outputs, nodes, weights };
  }

  private declared(map: ReadonlyMap<string, unknown>, kind: string): string {
    const at = this.start;
    const name = this.name(`the name of the ${kind}`);
    if (map.has(name)) this.fail(`${kind} ${quote(name)} stands here a second time.`, 'GRIM_IR_DUPLICATE_NAME', at);
    return name;
  }

  private input(inputs: Map<string, TensorType>): void {
    const name = this.declared(inputs, 'input');
    inputs.set(name, { dtype: this.dtype(), shape: this.shape() });
  }

  private output(outputs: Map<string, string>): void {
    const name = this.declared(outputs, 'output');
    outputs.set(name, this.accept('=') ? this.name('the name of a value') : name);
  }

  private weight(weights: Map<string, Weight>): void {
    const at = this.start;
    const name = this.declared(weights, 'weight');
    this.count(++this.initializers, 'initializers');
    const tensor = this.tensor(this.dtype(), name, at);
    const pattern = this.isWord('bcr') ? this.pattern(tensor.data.length) : undefined;
    weights.set(name, pattern ? { ...tensor, pattern } : tensor);
  }

  private dtype(): DType {
    const at = this.start;
    const word = this.word('an element type');
    return isDType(word) ? word : this.fail(`found ${quote(word)}; an element type is needed.`, 'GRIM_IR_PARSE', at);
  }

  /** `[1, N, "any name"]`, or null for `[...]`. */
  private shape(): readonly Dim[] | null {
    this.expect('[');
    if (this.isWord('...')) {
      this.advance();
      this.expect(']');
      return null;
    }
    return this.list(() => this.dim(), ']', 'rank');
  }

  private dim(): Dim {
    if (this.kind === 'string') return this.name('');
    const at = this.start;
    const word = this.word('a length or its name');
    const number = readNumber(word);
    if (number !== undefined) return number;
    return /^\w+$/.test(word) ? word : this.fail(`found ${quote(word)}; a length is needed.`, 'GRIM_IR_PARSE', at);
  }

  /** Elements between commas, up to and with `close`. */
  private list<T>(element: () => T, close: string, limit?: keyof Limits): T[] {
    const all: T[] = [];
    if (this.accept(close)) return all;
    do {
      all.push(element());
      if (limit) this.count(all.length, limit);
    } while (this.accept(','));
    this.expect(close, `"," or ${quote(close)}`);
    return all;
  }

  /** After the element type: shape and elements. A `name` may stand for a weight that is given elsewhere. */
  private tensor(dtype: DType, name: string | undefined, at: number): Tensor {
    const shape = this.shape();
    if (!shape?.every((dim) => typeof dim === 'number'))
      this.fail('a tensor has a length in every dimension.', 'GRIM_IR_PARSE', at);
    const where = name === undefined ? 'tensor' : `weight ${quote(name)}`;
    const dims = shape as readonly number[];
    const count = elementCount(dims, dtype, where, this.limits);
    if (this.accept('(')) return { dtype, shape: dims, data: this.elements(dtype, count) } as Tensor;
    if (this.isWord('base64')) return { dtype, shape: dims, data: this.bytes(dtype, count) } as Tensor;
    if (name !== undefined && this.kind === 'word' && this.value.startsWith('@'))
      return this.reference(name, dtype, dims);
    return this.expected(`"(" and elements${name === undefined ? '' : ', a hash'} or base64`);
  }

  private elements(dtype: DType, count: number): Tensor['data'] {
    const starts: number[] = [];
    const words = this.list(() => {
      starts.push(this.start);
      return this.word('an element');
    }, ')');
    if (words.length !== count) this.fail(`found ${words.length} elements before here; ${count} are needed.`);
    const data = readElements(dtype, words);
    if (typeof data === 'number')
      this.fail(`found ${quote(words[data] ?? '')}; an element of ${dtype} is needed.`, 'GRIM_IR_PARSE', starts[data]);
    return data;
  }

  private bytes(dtype: DType, count: number): Tensor['data'] {
    this.advance();
    const length = count * bytesPerElement(dtype);
    // The length of the text is compared before anything is allocated.
    const fits = this.kind === 'string' && this.value.length === Math.ceil(length / 3) * 4;
    const data = allocate(dtype, fits ? count : 0);
    if (!fits || !readBase64(this.value, new Uint8Array(data.buffer)))
      this.fail(`base64 of ${length} bytes is needed.`);
    this.advance();
    return data;
  }

  private reference(name: string, dtype: DType, shape: readonly number[]): Tensor {
    const bad = (message: string) => this.fail(`weight ${quote(name)} ${message}`, 'GRIM_IR_BAD_WEIGHT');
    const weight = this.given.get(name);
    if (!weight) return bad('is only referred to here. Give it in the option `weights`.');
    if (weight.dtype !== dtype || weight.shape.length !== shape.length || weight.shape.some((d, i) => d !== shape[i]))
      bad(`is ${weight.dtype} [${weight.shape.join(', ')}] in \`weights\`; ${dtype} [${shape.join(', ')}] is needed.`);
    if (!isArrayOf(dtype, weight.data) || weight.data.length !== shape.reduce((all, length) => all * length, 1))
      bad('in `weights` does not hold the elements that its type says.');
    if (`@${contentHash(weight)}` !== this.value)
      bad(`in \`weights\` has other elements (@${contentHash(weight)}; ${quote(this.value)} is needed).`);
    this.advance();
    return { dtype, shape, data: weight.data } as Tensor;
  }

  /** `bcr [rows, cols] in [blockRows, blockCols] { [kept rows | kept columns] … }` */
  private pattern(elements: number): BcrPattern {
    this.advance();
    const [rows, cols] = this.pair();
    if (!this.isWord('in')) this.expected('"in"');
    this.advance();
    const [blockRows, blockCols] = this.pair();
    const keptRows: Uint16Array[] = [];
    const keptCols: Uint16Array[] = [];
    // Ranges make short text of long lists; no pattern keeps more than this, see BcrPattern.
    const left = { rows: elements, cols: elements };
    this.expect('{');
    while (!this.accept('}')) {
      this.expect('[', 'a block, "[kept rows | kept columns]", or "}"');
      this.indices(keptRows, '|', left, 'rows');
      this.indices(keptCols, ']', left, 'cols');
    }
    return { grid: { rows, cols, blockRows, blockCols }, keptRows, keptCols };
  }

  private pair(): readonly [number, number] {
    const at = this.start;
    const shape = this.shape();
    const [a, b] = shape ?? [];
    return shape?.length === 2 && typeof a === 'number' && typeof b === 'number'
      ? [a, b]
      : this.fail('two numbers are needed, as in [8, 36].', 'GRIM_IR_PARSE', at);
  }

  private indices(
    lists: Uint16Array[],
    close: string,
    left: { rows: number; cols: number },
    side: 'rows' | 'cols',
  ): void {
    if (this.isWord('-')) {
      this.advance();
      this.expect(close);
      return;
    }
    const all: number[] = [];
    while (!this.accept(close)) {
      const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(this.kind === 'word' ? this.value : '') ?? [];
      const [from, to] = [Number(first), Number(last)];
      if (first === undefined || from > to || to > 65535)
        this.expected(`an index, a range such as 0-7, or ${quote(close)}`);
      left[side] -= to - from + 1;
      if (left[side] < 0) this.fail(`the pattern keeps more ${side} than its weight has elements.`);
      for (let index = from; index <= to; index++) all.push(index);
      this.advance();
    }
    lists.push(Uint16Array.from(all));
  }

  /** After the outputs. */
  private node(outputs: readonly string[], at: number, depth: number): Node {
    this.count(++this.nodes, 'nodes');
    this.expect('=');
    const opAt = this.start;
    const op = this.name('an operator');
    if (!isOpName(op))
      this.fail(`operator ${quote(op)} is not one of the operator table.`, 'GRIM_IR_UNSUPPORTED_OP', opAt);
    this.expect('(');
    const inputs: string[] = [];
    const given = new Map<string, unknown>();
    const known = opSpec(op).attributes;
    while (!this.accept(')')) {
      if (inputs.length + given.size > 0) this.expect(',', '"," or ")"');
      const itemAt = this.start;
      const item = this.valueName('an input, an attribute, or ")"');
      if (!this.accept('=')) {
        if (given.size > 0) this.fail(`input ${quote(item)} stands behind an attribute.`, 'GRIM_IR_PARSE', itemAt);
        inputs.push(item);
        this.count(inputs.length, 'valuesPerNode');
        continue;
      }
      if (!Object.hasOwn(known, item))
        this.fail(
          `attribute ${quote(item)} is not one of ${op} (${Object.keys(known).join(', ') || 'it has none'}).`,
          'GRIM_IR_BAD_ATTRIBUTE',
          itemAt,
        );
      if (given.has(item)) this.fail(`attribute ${quote(item)} is given twice.`, 'GRIM_IR_DUPLICATE_NAME', itemAt);
      given.set(item, this.attribute(depth));
    }
    let name = outputs[0] ?? '';
    if (this.isWord('as')) {
      this.advance();
      name = this.name('the name of the node');
    } else if (name === '')
      this.expected('"as" and the name of the node, which has no first output to be named after,');
    const attributes = withDefaults(op, Object.fromEntries(given) as AttributeInput<typeof op>);
    const problem = attributeProblem(opSpec(op), attributes as Readonly<Record<string, unknown>>);
    if (problem) this.fail(`${quote(name)} (${op}): ${problem}`, 'GRIM_IR_BAD_ATTRIBUTE', at);
    return { op, name, inputs, outputs, attributes } as unknown as Node;
  }

  private attribute(depth: number): unknown {
    if (this.isWord('graph')) return this.graph(depth + 1);
    if (this.accept('[')) return this.list(() => this.scalar(), ']');
    const at = this.start;
    const quoted = this.kind === 'string';
    const value = this.scalar();
    if (!quoted && typeof value === 'string' && isDType(value) && this.is('['))
      return this.tensor(value, undefined, at);
    return value;
  }

  private scalar(): number | string {
    if (this.kind === 'string' || this.kind === 'word') {
      const { kind, value } = this;
      if (value.length * 3 > this.limits.stringBytes && utf8Length(value) > this.limits.stringBytes)
        this.fail(`the string has more than ${this.limits.stringBytes} bytes (limit stringBytes).`, 'GRIM_IR_LIMIT');
      this.advance();
      return kind === 'string' ? value : (readNumber(value) ?? value);
    }
    return this.expected('a number, a string, a list, a tensor or a graph');
  }
}
