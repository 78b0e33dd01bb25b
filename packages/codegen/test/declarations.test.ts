/** Types and module of a compiled model: golden text, and names that try to leave their quotes. */
import type { ValueInfo } from '@grim/ir';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { declarations, modelModule, type Signature } from '../src/index.ts';

const value = (name: string, shape: readonly number[], dtype: ValueInfo['dtype'] = 'float32'): ValueInfo => ({
  name,
  dtype,
  shape,
  offset: 0,
});

const WORDS: Signature = {
  name: 'words',
  inputs: [value('mfcc', [1, 40]), value('h0', [1, 64])],
  outputs: [value('scores', [1, 12]), value('h1', [1, 64])],
  states: [{ input: 'h0', output: 'h1' }],
};

/** What an attacker, or a framework, calls a tensor. */
const NAMES = [
  'module/conv1:0',
  '"];process.exit();//',
  "'`$\u007bx}",
  '*/ export {}; /*',
  'a\nb\r\u2028\u2029\0',
  '\\',
  '\\u002a',
  '</script>',
  '__proto__',
  'constructor',
  '\u202egnirts',
  'größe 🎧',
  '',
];
const HOSTILE: Signature = {
  name: '*/\u2028";\nimport "evil"; // sourceMappingURL=evil',
  inputs: NAMES.map((name, i) => value(name, [i], 'uint8')),
  outputs: NAMES.map((name) => value(name, [])),
  states: [],
};

it('gives types that a person can read', () => {
  expect(declarations(WORDS)).toMatchSnapshot();
});

it('gives a module that a person can read', () => {
  expect(modelModule(WORDS, '"/words.grim"')).toMatchSnapshot();
});

describe('names from a hostile file', () => {
  const parse = (text: string, name: string) => {
    const source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
    const { diagnostics } = ts.transpileModule(text, {
      reportDiagnostics: true,
      fileName: name.replace('.d.ts', '.ts'),
    });
    expect(diagnostics?.map(({ messageText }) => messageText)).toEqual([]);
    return source;
  };
  const memberNames = (members: ts.NodeArray<ts.Node>) =>
    members.map((member) => {
      const name = (member as ts.PropertySignature).name;
      return name && ts.isComputedPropertyName(name)
        ? (name.expression as ts.StringLiteral).text
        : (name as ts.StringLiteral).text;
    });

  it('stay inside their quotes in types', () => {
    const text = declarations(HOSTILE);
    expect(text).toMatch(/^[\n -~]*$/);
    const source = parse(text, 'x.d.ts');
    const types = source.statements.filter(ts.isTypeAliasDeclaration).map(({ type }) => type as ts.TypeLiteralNode);
    expect(types.map(({ members }) => memberNames(members))).toEqual([NAMES, NAMES]);
    expect(source.statements.map(({ kind }) => ts.SyntaxKind[kind])).toEqual(
      parse(declarations(WORDS), 'x.d.ts').statements.map(({ kind }) => ts.SyntaxKind[kind]),
    );
  });

  it('stay inside their quotes in the module, where they are keys like any other', () => {
    const text = modelModule(HOSTILE, '"x"');
    expect(text).toMatch(/^[\n -~]*$/);
    expect(text).not.toContain('</script');
    parse(text, 'x.js');
    // Without its import and export, the module is a script.
    const script = text.replace(/^import .*$/m, 'const loadModel = () => {};').replace(/^export default /m, 'return ');
    const { inputs } = new Function(script.replace(/^export /gm, ''))();
    expect(Object.keys(inputs)).toEqual(NAMES);
    expect(Object.getPrototypeOf(inputs)).toBe(Object.prototype);
    expect(NAMES.map((name) => inputs[name].create())).toEqual(NAMES.map((_, i) => new Uint8Array(i)));
  });
});
