import { ModuleBuilder, type Part, pack, writeArtifact } from '@grim/codegen';
import type { CompiledModel, FileManifest } from '@grim/ir';
import { describe, expect, it, vi } from 'vitest';
import { crc32 } from '../src/crc32.ts';
import { loadModel } from '../src/index.ts';
import { type Artifact, readArtifact } from '../src/read.ts';
import { manifestText, outcome, withManifest } from './fuzz/cases.ts';
import { affine, branching, counter, grouped, prepared } from './models.ts';
import { Random } from './random.ts';

const file = pack(affine());
const BAD = 'GRIM_RUNTIME_BAD_ARTIFACT';
const codeOf = (bytes: Uint8Array) => outcome(bytes)?.code;
const utf8 = (text: string) => new TextEncoder().encode(text);

/** The file with one part of its manifest changed, checksums set right. */
function changed(change: (manifest: Record<string, unknown>) => void, from = file, minor = 0): Uint8Array {
  const manifest = JSON.parse(manifestText(from)) as Record<string, unknown>;
  change(manifest);
  return withManifest(from, JSON.stringify(manifest), minor);
}

const rewrite = ({ minor, manifest, sections }: Artifact) =>
  writeArtifact(
    manifest,
    sections.map((bytes, i): Part => ({ head: manifest.sections[i] as Part['head'], bytes })),
    minor,
  );

describe('versions', () => {
  it('F1, F14: version 1.0 is read; another major, version 0 and a wrong magic are refused', async () => {
    expect(readArtifact(file).minor).toBe(0);
    const with16 = (at: number, value: number) => {
      const copy = file.slice();
      new DataView(copy.buffer).setUint16(at, value, true);
      return copy;
    };
    expect(codeOf(with16(4, 0))).toBe('GRIM_RUNTIME_BAD_VERSION');
    expect(codeOf(with16(4, 2))).toBe('GRIM_RUNTIME_BAD_VERSION');
    expect(codeOf(with16(0, 0))).toBe('GRIM_RUNTIME_BAD_SOURCE');
    await expect(loadModel(with16(4, 2))).rejects.toThrow('Update @grim/runtime');
  });
  it('F1: a newer minor version loads, keys that it adds are skipped; in version 1.0 they are refused', async () => {
    const add = (manifest: Record<string, unknown>) => {
      manifest['later'] = { x: [1] };
    };
    const newer = changed(add, pack(affine(), { split: true }).grim, 7);
    expect(readArtifact(newer).minor).toBe(7);
    expect(codeOf(changed(add, pack(affine(), { split: true }).grim))).toBe(BAD);
  });
  it('F1: a section of an unknown kind is refused', () => {
    const unknown = changed((m) => {
      (m['sections'] as { kind: string }[])[0] = { ...(m['sections'] as { kind: string }[])[0], kind: 'wgsl' };
    });
    expect(codeOf(unknown)).toBe(BAD);
  });
});

it('F2: every flipped bit is found, header, manifest, padding and sections', () => {
  for (let bit = 0; bit < file.length * 8; bit++) {
    const copy = file.slice();
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(codeOf(copy), `bit ${bit}`).toMatch(/^GRIM_RUNTIME_BAD_/);
  }
});

it('F2: cut at any byte it is refused, also as a stream', async () => {
  for (let end = 0; end < file.length; end++) expect(codeOf(file.slice(0, end)), `${end}`).toMatch(/BAD_/);
  for (const end of [0, 3, 15, 16, 17, 500, file.length - 1])
    await expect(loadModel(new Response(file.slice(0, end)))).rejects.toThrow();
});

describe('sections', () => {
  type Place = { offset: number; bytes: number; crc32: number };
  const section = (change: (sections: Place[]) => void) => changed((m) => change(m['sections'] as Place[]));
  const at = (index: number, key: keyof Place, delta: number) =>
    section((list) => {
      (list[index] as Place)[key] += delta;
    });
  it.each<[string, () => Uint8Array]>([
    ['that overlap', () => at(1, 'offset', -64)],
    ['with a hole', () => at(1, 'offset', 64)],
    ['that are not aligned', () => at(1, 'offset', 4)],
    ['past the end', () => at(3, 'bytes', 64)],
    ['that are too short', () => at(3, 'bytes', -4)],
    [
      'of no length',
      () =>
        section((list) => {
          (list[0] as Place).bytes = 0;
        }),
    ],
    [
      'of negative length',
      () =>
        section((list) => {
          (list[0] as Place).bytes = -5;
        }),
    ],
    [
      'of 2^32 bytes',
      () =>
        section((list) => {
          (list[0] as Place).bytes = 2 ** 32;
        }),
    ],
    ['out of order', () => section((list) => list.reverse())],
    ['that are missing', () => section((list) => list.pop())],
    ['that are there twice', () => section((list) => list.push(list[0] as Place))],
    ['without code', () => section((list) => list.splice(0, 2))],
  ])('F3: sections %s are refused', (_, make) => expect(codeOf(make())).toBe(BAD));
});

it.each<[string, Uint8Array, Uint8Array]>([
  ['zip', utf8('PK\u0003\u0004'), utf8('PK\u0005\u0006')],
  ['PDF', utf8('%PDF-1.7'), utf8('%%EOF')],
  ['HTML', utf8('<html>'), utf8('<script></script>')],
  ['a second model', file, file],
  ['one zero', Uint8Array.of(0), Uint8Array.of(0)],
  ['64 zeros', new Uint8Array(64), new Uint8Array(64)],
])('F4: %s before or behind a model is refused', async (_, before, behind) => {
  for (const parts of before === file
    ? [[file, behind]]
    : [
        [before, file],
        [file, behind],
      ]) {
    const joined = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    expect(codeOf(joined)).toMatch(/BAD_/);
    await expect(loadModel(joined)).rejects.toThrow();
  }
});

describe('manifest text', () => {
  const text = manifestText(file);
  const deep = (n: number) => `${'['.repeat(n)}${']'.repeat(n)}`;
  it.each<[string, string]>([
    ['a duplicate key', text.replace('"states":[]', '"states":[],"states":[]')],
    ['__proto__ as a key', text.replace('"states":[]', '"__proto__":{"x":1},"states":[]')],
    ['__proto__ among the options', text.replace('"tiles":6', '"__proto__":6')],
    ['white space', text.replace(',', ', ')],
    ['a BOM', `\ufeff${text}`],
    ['a comment', `${text}/**/`],
    ['a number beyond a double', text.replace('"tiles":6', '"tiles":1e999')],
    ['-0', text.replace('"tiles":6', '"tiles":-0')],
    ['another spelling of a number', text.replace('"tiles":6', '"tiles":6.0')],
    ['NaN', text.replace('"tiles":6', '"tiles":NaN')],
    ['a fraction as a size', text.replace(/"arenaBytes":\d+/, '"arenaBytes":64.5')],
    ['a huge number as a size', text.replace(/"arenaBytes":\d+/, '"arenaBytes":1e+308')],
    ['a negative size', text.replace(/"arenaBytes":\d+/, '"arenaBytes":-64')],
    ['text as a size', text.replace(/"arenaBytes":\d+/, '"arenaBytes":"64"')],
    ['a lone surrogate', text.replace('"name":"affine"', '"name":"\\ud800"')],
    ['an escape that is not needed', text.replace('"affine"', '"\\u0061ffine"')],
    ['a name that is too long', text.replace('"name":"affine"', `"name":"${'a'.repeat(1025)}"`)],
    ['keys in another order', text.replace(/^\{("name":"affine"),("producer":\{.*?\}\}),/, '{$2,$1,')],
    ['a missing key', text.replace('"states":[],', '')],
    ['an unknown key', text.replace('"states":[],', '"states":[],"more":0,')],
    ['nesting of 17', deep(17)],
    ['nesting of 1,000,000', deep(1e6)],
    ['1,000,000 entries', `[${'0,'.repeat(1e6)}0]`],
    ['nothing', ''],
    ['null', 'null'],
    ['a list', '[]'],
  ])('F5: %s is refused', (_, json) => {
    expect(json).not.toBe(text);
    expect(codeOf(withManifest(file, json))).toBe(BAD);
  });
  it('F5: the limits are reached from below: nesting of 16 and 100,000 entries fail by their content alone', () => {
    for (const json of [deep(16), `[${'0,'.repeat(1e5)}0]`])
      expect(outcome(withManifest(file, json))?.message).not.toContain('too deep');
    for (const json of [deep(17), `[${'0,'.repeat(1e5 + 1)}0]`])
      expect(outcome(withManifest(file, json))?.message).toContain('too deep');
  });
  it('F5: bytes that are no UTF-8 are refused, and a manifest of more than 16 MiB before it is read', () => {
    const broken = utf8(text);
    broken[10] = 0xff;
    expect(codeOf(withManifest(file, broken))).toBe(BAD);
    const long = file.slice();
    new DataView(long.buffer).setUint32(8, 2 ** 24 + 1, true);
    expect(outcome(long)?.message).toContain('16777217');
  });
});

describe('cross-checks', () => {
  type M = { -readonly [K in keyof FileManifest]: unknown };
  const model = (index: 'inputs' | 'outputs', change: object) => (m: M) => {
    Object.assign((m[index] as object[])[0] as object, change);
  };
  it.each<[string, (m: M) => void]>([
    ['an input in the constants', model('inputs', { offset: 0 })],
    ['an input past the end', model('inputs', { offset: 65528 })],
    ['an input that is not aligned', model('inputs', { offset: 66 })],
    ['an input that is larger than memory', model('inputs', { shape: [2 ** 31 - 1, 2 ** 31 - 1] })],
    ['an input of rank 9', model('inputs', { shape: [1, 1, 1, 1, 1, 1, 1, 1, 1] })],
    ['an unknown element type', model('inputs', { dtype: 'complex64' })],
    ['an output past the end', model('outputs', { offset: 65536 })],
    [
      'inputs that share memory',
      (m) => {
        m.inputs = [m.inputs, m.inputs].flat().map((v, i) => ({ ...(v as object), name: `x${i}` }));
      },
    ],
    [
      'two inputs of one name',
      (m) => {
        m.inputs = [m.inputs, m.inputs].flat();
      },
    ],
    [
      'a state that is no input',
      (m) => {
        m.states = [{ input: 'nope', output: 'y' }];
      },
    ],
    [
      'more constants than sections hold',
      (m) => {
        m.constantBytes = (m.constantBytes as number) + 64;
      },
    ],
    [
      'another number of pages than the module imports',
      (m) => {
        m.arenaBytes = (m.arenaBytes as number) + 65536;
      },
    ],
    [
      'another kernel name than the module exports',
      (m) => {
        (m.kernels as { name: string }[])[0] = { name: 'other', parameters: 4 } as never;
      },
    ],
    [
      'another number of parameters',
      (m) => {
        (m.kernels as object[])[1] = { name: 'add', parameters: 5 };
      },
    ],
    [
      'fewer kernels than exports',
      (m) => {
        (m.kernels as object[]).pop();
      },
    ],
    [
      'two kernels of one name',
      (m) => {
        (m.kernels as object[])[1] = { name: 'affine', parameters: 4 };
      },
    ],
    [
      'a step of a kernel that is not there',
      (m) => {
        (m.steps as number[])[0] = 2;
      },
    ],
    [
      'a step that lacks an argument',
      (m) => {
        (m.steps as number[]).pop();
      },
    ],
    [
      'an argument beyond 32 bits',
      (m) => {
        (m.steps as number[])[1] = 2 ** 32;
      },
    ],
    [
      'an argument that is no integer',
      (m) => {
        (m.steps as number[])[1] = 0.5;
      },
    ],
    [
      'a branch that runs over the end',
      (m) => {
        m.steps = [-1, 64, 100, 0];
      },
    ],
    [
      'a branch of negative length',
      (m) => {
        m.steps = [-1, 64, -4, 4];
      },
    ],
    [
      'a branch on a byte outside of memory',
      (m) => {
        m.steps = [-1, 65536, 0, 0];
      },
    ],
    [
      'branches nested without end',
      (m) => {
        m.steps = Array.from({ length: 40 }, (_, i) => [-1, 64, 4 * (39 - i), 0]).flat();
      },
    ],
    [
      'a group that runs over the end',
      (m) => {
        m.steps = [-2, 6, ...(m.steps as number[])];
      },
    ],
    [
      'a group of negative length',
      (m) => {
        m.steps = [-2, -5, ...(m.steps as number[])];
      },
    ],
    [
      'a group without a length',
      (m) => {
        (m.steps as number[]).push(-2);
      },
    ],
    [
      'a group that ends within a call',
      (m) => {
        m.steps = [-2, 4, ...(m.steps as number[])];
      },
    ],
    [
      'a branch inside a group',
      (m) => {
        m.steps = [-2, 4, -1, 64, 0, 0];
      },
    ],
    [
      'a group inside a group',
      (m) => {
        m.steps = [-2, 2, -2, 0];
      },
    ],
    [
      'a step of no meaning',
      (m) => {
        m.steps = [-3, 0, 0, 0];
      },
    ],
    [
      'a self-test of an unknown output',
      (m) => {
        (m.selfTest as { expected: object[] }).expected = [{ output: 'z', indices: [0], values: [0] }];
      },
    ],
    [
      'a self-test past the output',
      (m) => {
        (m.selfTest as { expected: object[] }).expected = [{ output: 'y', indices: [6], values: [0] }];
      },
    ],
    [
      'a negative tolerance',
      (m) => {
        Object.assign(m.selfTest as object, { absoluteTolerance: -1 });
      },
    ],
  ])('F6: %s is refused before anything is compiled', (_, change) => {
    expect(codeOf(changed(change as never))).toBe(BAD);
  });
  it('F6: weights whose length is not that of their elements are refused', () => {
    const narrow = pack(affine(70), { weights: 'int8' });
    for (const change of [{ elements: 1 }, { encoding: 'f32' }, { group: 3 }, { group: undefined }])
      expect(codeOf(changed((m) => Object.assign((m['sections'] as object[])[4] as object, change), narrow))).toBe(BAD);
  });
  it.each<[string, object]>([
    ['of no bytes', { bytes: 0 }],
    ['of fewer bytes than are left', { bytes: 60 }],
    ['of more bytes than are left', { bytes: 68 }],
    ['of a kernel that is not there', { steps: [2, 0, 64, 0, 2] }],
    ['that lacks an argument', { steps: [0, 0, 64, 0] }],
    ['without steps', { steps: undefined }],
  ])('F6: a setup %s is refused', (_, change) => {
    const whole = pack(prepared());
    expect(codeOf(whole)).toBeUndefined();
    expect(codeOf(changed((m) => Object.assign(m['setup'] as object, change), whole))).toBe(BAD);
  });
  it('F6: a branch of the steps is accepted when it is whole', () => expect(codeOf(pack(branching()))).toBeUndefined());
  it('F6: a group of calls is accepted when it is whole', () => {
    expect(codeOf(pack(grouped()))).toBeUndefined();
    expect(codeOf(pack(grouped(0, 1, 1)))).toBeUndefined();
  });
  it('F6: wide modules stand before others, and never alone', () => {
    const model = affine();
    const wide = pack({ ...model, wasm: { ...model.wasm, wide: model.wasm.relaxed } });
    expect(codeOf(wide)).toBeUndefined();
    const families = (order: readonly string[]) =>
      changed((m) => {
        for (const [i, family] of order.entries()) Object.assign((m['sections'] as object[])[i] as object, { family });
      }, wide);
    expect(codeOf(families(['wide', 'relaxed', 'plain']))).toBeUndefined();
    for (const order of [
      ['relaxed', 'wide', 'plain'],
      ['wide', 'plain', 'relaxed'],
      ['wide', 'wide', 'plain'],
    ])
      expect(codeOf(families(order))).toBe(BAD);
  });
});

describe('modules', () => {
  /** The good module, taken apart. */
  const { wasm } = affine();
  const good = wasm.plain;
  const parts = new Map<number, Uint8Array>();
  const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >> 7)]);
  for (let at = 8; at < good.length; ) {
    const id = good[at++] as number;
    let length = 0;
    for (let scale = 1; ; scale *= 128) {
      const low = good[at++] as number;
      length += (low & 127) * scale;
      if (low < 128) break;
    }
    parts.set(id, good.subarray(at, at + length));
    at += length;
  }
  const PREAMBLE = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const section = (id: number, content: ArrayLike<number>) => [id, ...leb(content.length), ...Array.from(content)];
  const own = (id: number) => section(id, parts.get(id) as Uint8Array);
  const build = (...list: number[][]) => Uint8Array.from([...PREAMBLE, ...list.flat()]);
  const text = (name: string) => [name.length, ...utf8(name)];
  const memory = [...text('env'), ...text('memory'), 2];
  const imports = (...content: number[]) => build(own(1), section(2, content), own(3), own(7), own(10));
  const exporting = (...content: number[]) => build(own(1), own(2), own(3), section(7, content), own(10));
  const packed = (module: Uint8Array, model: CompiledModel = affine()) => {
    // Written without running it: what is checked here may be no module at all.
    const { manifest, sections } = readArtifact(pack(model));
    const bytes = [module, ...sections.slice(1)];
    return writeArtifact(
      manifest,
      bytes.map((content, i): Part => ({ head: manifest.sections[i] as Part['head'], bytes: content })),
    );
  };
  it('F7: the module of the compiler passes, and put together again from its sections', () => {
    expect(codeOf(packed(build(own(1), own(2), own(3), own(7), own(10))))).toBeUndefined();
  });
  const shared = new ModuleBuilder({ minPages: 1, maxPages: 1, shared: true }).build();
  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array([0])],
    ['a wrong preamble', Uint8Array.from([...good.slice(0, 4), 2, ...good.slice(5)])],
    ['a component', Uint8Array.from([...good.slice(0, 4), 0x0d, 0, 1, 0, ...good.slice(8)])],
    ['a start section', build(own(1), own(2), own(3), own(7), section(8, [0]), own(10))],
    ['a table', build(own(1), own(2), own(3), section(4, [1, 0x70, 0, 1]), own(7), own(10))],
    ['a memory of its own', build(own(1), own(2), own(3), section(5, [1, 0, 1]), own(7), own(10))],
    ['a global', build(own(1), own(2), own(3), section(6, [1, 0x7f, 0, 0x41, 0, 0x0b]), own(7), own(10))],
    ['elements', build(own(1), own(2), own(3), own(7), section(9, [0]), own(10))],
    ['a data count', build(own(1), own(2), own(3), own(7), section(12, [0]), own(10))],
    ['data', build(own(1), own(2), own(3), own(7), own(10), section(11, [0]))],
    ['a tag', build(own(1), own(2), own(3), section(13, [1, 0, 0]), own(7), own(10))],
    ['a custom section in front', build(section(0, text('name')), own(1), own(2), own(3), own(7), own(10))],
    ['a custom section behind', build(own(1), own(2), own(3), own(7), own(10), section(0, text('x')))],
    ['an unknown section', build(own(1), own(2), own(3), own(7), own(10), section(99, [0]))],
    ['sections in another order', build(own(2), own(1), own(3), own(7), own(10))],
    ['a section twice', build(own(1), own(1), own(2), own(3), own(7), own(10))],
    ['no code', build(own(1), own(2), own(3), own(7))],
    ['no import', imports(0)],
    ['a second import', imports(2, ...memory, 1, 1, 1, ...text('env'), ...text('f'), 0, 0)],
    ['a function as import', imports(1, ...text('env'), ...text('memory'), 0, 0)],
    ['an import of another module', imports(1, ...text('js'), ...text('memory'), 2, 1, 1, 1)],
    ['an import of another name', imports(1, ...text('env'), ...text('m'), 2, 1, 1, 1)],
    ['a memory without a maximum', imports(1, ...memory, 0, 1)],
    ['a shared memory', imports(1, ...memory, 3, 1, 1)],
    ['a 64-bit memory', imports(1, ...memory, 5, 1, 1)],
    ['more pages than the manifest', imports(1, ...memory, 1, 2, 2)],
    ['fewer pages at most than the manifest', imports(1, ...memory, 1, 0, 0)],
    ['a shared module of the assembler', shared],
    ['an export of the memory', exporting(2, ...text('affine'), 2, 0, ...text('add'), 0, 1)],
    ['an export too few', exporting(1, ...text('affine'), 0, 0)],
    ['an export too many', exporting(3, ...text('affine'), 0, 0, ...text('add'), 0, 1, ...text('more'), 0, 0)],
    ['exports in another order', exporting(2, ...text('add'), 0, 1, ...text('affine'), 0, 0)],
    ['an export of a function that is not there', exporting(2, ...text('affine'), 0, 0, ...text('add'), 0, 9)],
    ['a result', build(section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f]), own(2), own(3), own(7), own(10))],
    [
      'a parameter that is no i32',
      build(section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7d, 0]), own(2), own(3), own(7), own(10)),
    ],
    ['a reference type', build(section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x70, 0]), own(2), own(3), own(7), own(10))],
    ['a struct type', build(section(1, [1, 0x5f, 0]), own(2), own(3), own(7), own(10))],
    ['a recursive group of types', build(section(1, [1, 0x4e, 0]), own(2), own(3), own(7), own(10))],
    ['a type that is not there', build(own(1), own(2), section(3, [2, 5, 5]), own(7), own(10))],
    [
      'more bodies than functions',
      build(own(1), own(2), own(3), own(7), section(10, [3, 2, 0, 11, 2, 0, 11, 2, 0, 11])),
    ],
    ['a body over the end', build(own(1), own(2), own(3), own(7), section(10, [2, 100, 0, 11]))],
    ['a number in a longer spelling', imports(1, ...memory, 1, 0x81, 0, 1)],
    ['a number beyond 32 bits', build(section(1, [0xff, 0xff, 0xff, 0xff, 0x7f]), own(2))],
    ['a section longer than the file', Uint8Array.from([...PREAMBLE, 1, 0xff, 0x7f])],
    ['bytes behind it', Uint8Array.from([...good, 0])],
  ])('F7: a module with %s is refused before it is compiled', (_, module) => {
    expect(codeOf(packed(module))).toBe(BAD);
  });
  it('F7: a body of more than 1 MiB is refused', () => {
    const body = new Uint8Array(2 ** 20 + 1).fill(1);
    body[0] = 0;
    body[body.length - 1] = 11;
    const code = [2, ...leb(body.length), ...body, 2, 0, 11];
    const bytes = new Uint8Array(code.length + 6);
    bytes.set([10, ...leb(code.length)]);
    expect(codeOf(packed(build(own(1), own(2), own(3), own(7), section(10, code))))).toBe(BAD);
  });
  it('F7: code that the engine refuses is an error with a code', async () => {
    const broken = build(own(1), own(2), own(3), own(7), section(10, [2, 3, 0, 0x6a, 11, 2, 0, 11]));
    const bytes = packed(broken);
    expect(codeOf(bytes)).toBeUndefined();
    await expect(loadModel(bytes)).rejects.toMatchObject({ code: BAD });
  });
});

it('F11: nothing in a file is compressed, so nothing can swell: bytes in memory follow from the lengths alone', () => {
  for (const weights of ['f32', 'f16', 'bf16', 'int8'] as const) {
    const { manifest } = readArtifact(pack(affine(1000), { weights }));
    const stored = manifest.sections.reduce((sum, { kind, bytes }) => sum + (kind === 'wasm' ? 0 : bytes), 0);
    expect(manifest.constantBytes / stored).toBeLessThan(4);
  }
});

it('F12: weights of two sections of equal length that change places are refused', () => {
  const model = affine(2);
  const bytes = pack({
    ...model,
    segments: [
      { kind: 'weights', bytes: 8 },
      { kind: 'tables', bytes: 56 },
      { kind: 'weights', bytes: 8 },
    ],
  });
  const [, , a, , b] = readArtifact(bytes).manifest.sections;
  if (!a || !b) throw new Error('five sections are there');
  expect(a.bytes).toBe(b.bytes);
  const swapped = bytes.slice();
  swapped.set(bytes.subarray(b.offset, b.offset + 8), a.offset);
  swapped.set(bytes.subarray(a.offset, a.offset + 8), b.offset);
  expect(codeOf(swapped)).toBe(BAD);
});

describe('one file for one model', () => {
  it.each(['f32', 'f16', 'bf16', 'int8'] as const)(
    'F16: what was read is written again byte by byte, weights as %s',
    (weights) => {
      for (const model of [affine(), affine(500), counter(), branching()]) {
        const bytes = pack(model, { weights });
        expect(rewrite(readArtifact(bytes))).toEqual(bytes);
        expect(pack(model, { weights })).toEqual(bytes);
      }
    },
  );
  it('F16: a model read from a file packs to the same file', () => {
    const model = affine(500);
    const bytes = pack(model);
    const { manifest, sections } = readArtifact(bytes);
    const [relaxed, plain, ...constants] = sections as [Uint8Array, Uint8Array, ...Uint8Array[]];
    const all = new Uint8Array(constants.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of constants) {
      all.set(part, at);
      at += part.length;
    }
    const segments = manifest.sections
      .slice(2)
      .map(({ kind, bytes: size }) => ({ kind: kind as 'weights', bytes: size }));
    expect(pack({ manifest, wasm: { relaxed, plain }, constants: all, segments })).toEqual(bytes);
  });
  it('F16: lengths of the manifest around every boundary settle', () => {
    const random = new Random(5);
    for (let i = 0; i < 300; i++) {
      const model = affine();
      const bytes = pack({ ...model, manifest: { ...model.manifest, name: 'n'.repeat(random.int(1000)) } });
      expect(codeOf(bytes)).toBeUndefined();
    }
  });
});

describe('checksums', () => {
  it('are the same from Node, where it has them, and from tables', () => {
    const bytes = Uint8Array.from({ length: 2 ** 16 + 1021 }, (_, i) => (i * 2654435761) >>> 24);
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    const sums = () => {
      let inParts = 0;
      for (let at = 0; at < bytes.length; at += 1000) inParts = crc32(bytes.subarray(at, at + 1000), inParts);
      const inTwo = crc32(bytes.subarray(7), crc32(bytes.subarray(0, 7)));
      // ISO 3309: the check value of the polynomial.
      return [inParts, crc32(bytes), crc32(shared), inTwo, crc32(new TextEncoder().encode('123456789'))];
    };
    const byNode = sums();
    expect(byNode).toEqual([...Array(4).fill(byNode[0]), 0xcbf43926]);
    const absent = vi.spyOn(process, 'getBuiltinModule').mockReturnValue(undefined);
    expect(sums()).toEqual(byNode);
    expect(absent).toHaveBeenCalled();
    absent.mockRestore();
  });
});
