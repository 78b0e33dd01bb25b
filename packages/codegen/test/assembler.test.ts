/** The assembler: bytes, what it refuses, and how it counts vectors. */
import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import {
  addGemm,
  addGemv,
  addSpmm,
  addUnary,
  ConstantPool,
  type FunctionBuilder,
  type Local,
  MODULE_LIMITS,
  ModuleBuilder,
  UNARY,
  type UnaryName,
} from '../src/index.ts';
import { FAMILIES } from './arena.ts';

const { parseWat, readWasm } = await wabt();
const FEATURES = { simd: true, relaxed_simd: true } as const;

function text(bytes: Uint8Array): string {
  const module = readWasm(bytes, { ...FEATURES, readDebugNames: false });
  try {
    module.validate();
    return module.toText({ foldExprs: false, inlineExport: false });
  } finally {
    module.destroy();
  }
}

/** A module of one function with a vector pointer `p`. */
function single(body: (f: FunctionBuilder, p: Local<'i32'>) => void, registers?: number): ModuleBuilder {
  const module = new ModuleBuilder();
  const options = registers === undefined ? {} : { registers };
  module.function({ parameters: { p: 'i32' }, export: 'f', ...options }, (f, { p }) => body(f, p));
  return module;
}

/** Loads `count` vectors, then stores them: all are alive at once. */
function hold(f: FunctionBuilder, p: Local<'i32'>, count: number): void {
  const vectors = f.locals('v128', count);
  for (const [i, v] of vectors.entries())
    f.get(p)
      .memory('v128.load', 16 * i)
      .set(v);
  for (const [i, v] of vectors.entries())
    f.get(p)
      .get(v)
      .memory('v128.store', 16 * i);
}

describe('modules', () => {
  it('are the bytes that wabt makes of the same text', () => {
    const module = new ModuleBuilder({ minPages: 2, maxPages: 300 });
    const inner = module.function({ parameters: { a: 'i32' }, results: ['i32'] }, (f, { a }) => {
      f.get(a).i32(-1).op('i32.add');
    });
    module.function({ parameters: { p: 'i32', n: 'i32' }, results: ['f32'], export: 'main' }, (f, { p, n }) => {
      const v = f.local('v128');
      const i = f.local('i32');
      f.get(n).call(inner).set(i);
      f.get(p).memory('v128.load', 1024).set(v);
      f.get(i).if(
        () => {
          f.block((out) => {
            f.loop((again) => {
              f.get(p).get(v).memory('v128.store');
              f.get(i).op('i32.eqz').brIf(out);
              f.get(i).i32(1).op('i32.sub').set(i).br(again);
            });
          });
        },
        () => f.get(p).get(v).storeLane('v128.store32_lane', 3, 4),
      );
      f.block((a) => {
        f.block((b) => f.get(i).brTable([a, b, b], a));
      });
      f.get(v).get(v).get(v).op('f32x4.relaxed_madd').lane('f32x4.extract_lane', 2);
    });
    const wat = `(module
      (type (func (param i32) (result i32))) (type (func (param i32 i32) (result f32)))
      (import "env" "memory" (memory 2 300))
      (func (param i32) (result i32) local.get 0 i32.const -1 i32.add)
      (func (export "main") (param i32 i32) (result f32) (local v128 i32)
        local.get 1 call 0 local.set 3
        local.get 0 v128.load offset=1024 align=1 local.set 2
        local.get 3
        if
          block loop
            local.get 0 local.get 2 v128.store align=1
            local.get 3 i32.eqz br_if 1
            local.get 3 i32.const 1 i32.sub local.set 3 br 0
          end end
        else
          local.get 0 local.get 2 v128.store32_lane offset=4 align=1 3
        end
        block block local.get 3 br_table 1 0 0 1 end end
        local.get 2 local.get 2 local.get 2 f32x4.relaxed_madd f32x4.extract_lane 2))`;
    const reference = parseWat('reference.wat', wat, FEATURES);
    const { buffer } = reference.toBinary({ canonicalize_lebs: true });
    reference.destroy();
    expect(Array.from(module.build())).toEqual(Array.from(buffer));
  });

  it('keep integers of every length', () => {
    const values = [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, -8192, -8193, 2 ** 20, 2 ** 27, 2 ** 31 - 1];
    for (const value of [...values, -(2 ** 31), 2 ** 31, 2 ** 32 - 1]) {
      const module = new ModuleBuilder();
      module.function({ parameters: {}, results: ['i32'], export: 'f' }, (f) => f.i32(value));
      const env = { memory: new WebAssembly.Memory({ initial: 1 }) };
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.build()), { env });
      expect((exports['f'] as () => number)()).toBe(value | 0);
    }
    // As an offset, up to the last byte of 4 GiB.
    for (const offset of [0, 127, 128, 16383, 16384, 2 ** 21, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 2 ** 32 - 1]) {
      const bytes = single((f, p) => f.get(p).memory('i32.load', offset).drop()).build();
      expect(text(bytes)).toContain(offset === 0 ? 'i32.load align=1' : `i32.load offset=${offset} align=1`);
    }
    expect(() => single((f) => f.i32(2 ** 32).drop())).toThrow('internal: s32');
    expect(() => single((f) => f.i32(0.5).drop())).toThrow('internal: s32');
    expect(() => single((f, p) => f.get(p).memory('i32.load', -1).drop())).toThrow('internal: u32');
    expect(() =>
      single((f, p) =>
        f
          .get(p)
          .memory('i32.load', 2 ** 32)
          .drop(),
      ),
    ).toThrow('internal: u32');
  });

  it('of every kernel are valid, the same each time, and use few bytes', () => {
    const build = (relaxed: boolean) => {
      const module = new ModuleBuilder();
      const pool = new ConstantPool();
      for (const residual of [false, true])
        for (const activation of ['none', 'relu', { min: 0, max: 6 }] as const) {
          const options = { relaxed, epilogue: { activation, residual } };
          addGemm(module, options);
          addGemv(module, options);
          for (const columns of [8, 24] as const) addSpmm(module, { ...options, columns });
        }
      for (const name of Object.keys(UNARY)) addUnary(module, name as UnaryName, { relaxed }, pool);
      return module.build();
    };
    for (const { relaxed } of FAMILIES) {
      const bytes = build(relaxed);
      expect(WebAssembly.validate(bytes)).toBe(true);
      expect(build(relaxed)).toEqual(bytes);
      expect(text(bytes).includes('relaxed')).toBe(relaxed);
      expect(WebAssembly.Module.imports(new WebAssembly.Module(bytes))).toEqual([
        { module: 'env', name: 'memory', kind: 'memory' },
      ]);
    }
    const one = (relaxed: boolean, columns: 8 | 24) => {
      const module = new ModuleBuilder();
      addSpmm(module, { relaxed, columns, epilogue: { activation: 'relu', residual: false } });
      return module.build().length;
    };
    expect([one(true, 8), one(true, 24), one(false, 8), one(false, 24)].every((bytes) => bytes < 20_000)).toBe(true);
  });

  it('may share their memory, and then must say how large it grows', () => {
    const module = new ModuleBuilder({ minPages: 1, maxPages: 4, shared: true });
    const compiled = new WebAssembly.Module(module.build());
    const link = (memory: WebAssembly.MemoryDescriptor) =>
      new WebAssembly.Instance(compiled, { env: { memory: new WebAssembly.Memory(memory) } });
    expect(() => link({ initial: 1, maximum: 4, shared: true })).not.toThrow();
    expect(() => link({ initial: 1, maximum: 5, shared: true })).toThrow(WebAssembly.LinkError);
    expect(() => link({ initial: 1, maximum: 4 })).toThrow(WebAssembly.LinkError);
    expect(() => new ModuleBuilder({ minPages: 1, shared: true })).toThrow('internal: a memory');
    expect(() => new ModuleBuilder({ minPages: 5, maxPages: 4 })).toThrow('internal: a memory');
  });

  it('C3: stay within a quarter of what V8 accepts', () => {
    expect(() =>
      single((f) => {
        f.locals('i32', MODULE_LIMITS.locals);
      }),
    ).not.toThrow();
    expect(() => single((f) => f.locals('i32', MODULE_LIMITS.locals + 1))).toThrow('internal: more than');
    const body = (instructions: number) =>
      single((f, p) => {
        for (let i = 0; i < instructions; i++) f.get(p).drop();
      });
    expect(WebAssembly.validate(body(MODULE_LIMITS.functionBytes / 3 - 2).build())).toBe(true);
    expect(() => body(MODULE_LIMITS.functionBytes / 3 + 2)).toThrow('internal: f: a body of');
    const parameters = Object.fromEntries(
      Array.from({ length: MODULE_LIMITS.parameters + 1 }, (_, i) => [`p${i}`, 'i32' as const]),
    );
    expect(() => new ModuleBuilder().function({ parameters }, () => {})).toThrow('internal: 251 parameters');
    expect(() =>
      single((f, p) =>
        f.block((out) =>
          f.get(p).brTable(
            Array.from({ length: MODULE_LIMITS.branchTargets + 1 }, () => out),
            out,
          ),
        ),
      ),
    ).toThrow('internal: br_table');
  });

  it('are readable: a small kernel as text', () => {
    const module = single((f, p) => {
      const n = f.local('i32');
      const sum = f.local('v128');
      f.zero().set(sum).i32(8).set(n);
      f.loop((again) => {
        f.get(sum).get(p).memory('v128.load', 16).op('f32x4.add').set(sum);
        f.get(n).i32(1).op('i32.sub').tee(n).brIf(again);
      });
      f.get(p).get(sum).memory('v128.store');
    });
    expect(text(module.build())).toMatchInlineSnapshot(`
      "(module
        (type (;0;) (func (param i32)))
        (import "env" "memory" (memory (;0;) 1))
        (func (;0;) (type 0) (param i32)
          (local i32 v128)
          v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000
          local.set 2
          i32.const 8
          local.set 1
          loop  ;; label = @1
            local.get 2
            local.get 0
            v128.load offset=16 align=1
            f32x4.add
            local.set 2
            local.get 1
            i32.const 1
            i32.sub
            local.tee 1
            br_if 0 (;@1;)
          end
          local.get 0
          local.get 2
          v128.store align=1)
        (export "f" (func 0)))
      "
    `);
  });
});

describe('what the assembler refuses', () => {
  const cases: Readonly<Record<string, readonly [string, (f: FunctionBuilder, p: Local<'i32'>) => void]>> = {
    'an operand of another type': ['i32.add: f32 on the stack, i32 needed', (f) => f.i32(1).f32(1).op('i32.add')],
    'an operand that is missing': ['i32.add: nothing on the stack', (f) => f.i32(1).op('i32.add')],
    'a value left over': ['f: leaves [i32], declared []', (f) => f.i32(1)],
    'a block that leaves a value': ['a block changes the stack by 1', (f) => f.block(() => f.i32(1))],
    'a block that takes a value': ['a block changes the stack by -1', (f) => f.i32(1).block(() => f.drop())],
    'a local of another type': ['local.set: i32 on the stack, f32 needed', (f) => f.i32(1).set(f.local('f32'))],
    'a local of another function': ['local 7 of another function', (f) => f.get({ index: 7, type: 'i32' })],
    'code after a branch': ['code after an unconditional branch', (f) => f.block((out) => f.br(out).i32(1))],
    'a label that is closed': [
      'a branch to a label that is not open',
      (f) => {
        const labels: Parameters<FunctionBuilder['br']>[0][] = [];
        f.block((label) => labels.push(label));
        f.block(() => f.br(labels[0] as Parameters<FunctionBuilder['br']>[0]));
      },
    ],
    'a lane that is not there': ['f32x4.extract_lane of lane 4', (f) => f.zero().lane('f32x4.extract_lane', 4)],
    'a condition that is no i32': ['if: f32 on the stack, i32 needed', (f) => f.f32(1).if(() => {})],
    'a drop of nothing': ['drop on an empty stack', (f) => f.drop()],
    'a vector read before it is written': ['may be read before it is written', (f) => f.get(f.local('v128')).drop()],
    'a vector written on one path only': [
      'may be read before it is written',
      (f, p) => {
        const v = f.local('v128');
        f.get(p).if(() => f.zero().set(v));
        f.get(v).drop();
      },
    ],
  };
  for (const [name, [message, body]] of Object.entries(cases))
    it(`refuses ${name}`, () => {
      expect(() => single(body)).toThrow(
        `internal: ${message.startsWith('may') ? 'f: vector local number 0 ' : ''}${message}`,
      );
    });

  it('refuses two exports of one name, and a call into another module', () => {
    const module = single(() => {});
    expect(() => module.function({ parameters: {}, export: 'f' }, () => {})).toThrow('internal: f is exported twice');
    const foreign = new ModuleBuilder().function({ parameters: {} }, () => {});
    expect(() => single((f) => f.call(foreign))).toThrow('internal: a call to a function of another module');
  });
});

describe('live vectors', () => {
  const live = (body: (f: FunctionBuilder, p: Local<'i32'>) => void) => {
    const module = new ModuleBuilder();
    return module.function({ parameters: { p: 'i32' }, registers: 100 }, (f, { p }) => body(f, p)).liveVectors;
  };

  it('a function with 15 is built, one with 16 is not', () => {
    expect(() => single((f, p) => hold(f, p, 15))).not.toThrow();
    expect(() => single((f, p) => hold(f, p, 16))).toThrow(
      'internal: f: 16 vectors are alive at once, 15 registers are there',
    );
    expect(() => single((f, p) => hold(f, p, 16), 16)).not.toThrow();
  });

  it('a tile of 6×8 has 15 with the fused step, 16 without, and 5×8 has 14', () => {
    const tile = (rows: number, relaxed: boolean) =>
      live((f, p) => {
        const sums = f.locals('v128', 2 * rows);
        const [x0, x1, weight] = f.locals('v128', 3) as [Local<'v128'>, Local<'v128'>, Local<'v128'>];
        for (const sum of sums) f.zero().set(sum);
        f.loop((again) => {
          f.get(p).memory('v128.load').set(x0).get(p).memory('v128.load', 16).set(x1);
          for (let row = 0; row < rows; row++) {
            f.get(p)
              .memory('v128.load32_splat', 32 + 4 * row)
              .set(weight);
            for (const [i, x] of [x0, x1].entries()) {
              const sum = sums[2 * row + i] as Local<'v128'>;
              if (relaxed) f.get(weight).get(x).get(sum).op('f32x4.relaxed_madd').set(sum);
              else f.get(sum).get(weight).get(x).op('f32x4.mul').op('f32x4.add').set(sum);
            }
          }
          f.get(p).brIf(again);
        });
        for (const sum of sums) f.get(p).get(sum).memory('v128.store');
      });
    expect([tile(6, true), tile(6, false), tile(5, false), tile(7, true)]).toEqual([15, 16, 14, 17]);
  });

  it('a value is alive around the loop that needs it next time, and dead after its last use', () => {
    expect(
      live((f, p) => {
        const [a, b] = f.locals('v128', 2) as [Local<'v128'>, Local<'v128'>];
        f.get(p).memory('v128.load').set(a);
        f.loop((again) => {
          // a is not used below, but the next round reads it.
          f.get(p).get(a).memory('v128.store');
          f.get(p).memory('v128.load').set(b).get(p).get(b).memory('v128.store');
          f.get(p).brIf(again);
        });
      }),
    ).toBe(2);
    expect(
      live((f, p) => {
        const [a, b] = f.locals('v128', 2) as [Local<'v128'>, Local<'v128'>];
        f.get(p).memory('v128.load').set(a).get(p).get(a).memory('v128.store');
        f.get(p).memory('v128.load').set(b).get(p).get(b).memory('v128.store');
      }),
    ).toBe(1);
  });

  it('values on the stack count, names of locals do not', () => {
    expect(live((f, p) => f.get(p).memory('v128.load').get(p).memory('v128.load').op('f32x4.add').drop())).toBe(2);
    expect(
      live((f, p) => {
        const a = f.local('v128');
        f.get(p).memory('v128.load').set(a).get(a).get(a).op('f32x4.mul').drop();
      }),
    ).toBe(1);
    // A value on the stack whose local is overwritten lives on by itself.
    expect(
      live((f, p) => {
        const a = f.local('v128');
        f.get(p).memory('v128.load').set(a).get(a).get(p).memory('v128.load').set(a).get(a).op('f32x4.add').drop();
      }),
    ).toBe(2);
  });

  it('a vector across a call is refused: it would be saved and restored', () => {
    const module = new ModuleBuilder();
    const inner = module.function({ parameters: {} }, () => {});
    const across = (use: boolean) =>
      module.function({ parameters: { p: 'i32' } }, (f, { p }) => {
        const a = f.local('v128');
        f.get(p).memory('v128.load').set(a);
        if (!use) f.get(p).get(a).memory('v128.store');
        f.call(inner);
        if (use) f.get(p).get(a).memory('v128.store');
      });
    expect(() => across(false)).not.toThrow();
    expect(() => across(true)).toThrow('1 vectors are alive across a call');
  });

  it('every kernel of both families fits 15 registers, and its tile uses most of them', () => {
    for (const { relaxed } of FAMILIES) {
      const epilogue = { activation: { min: 0, max: 6 }, residual: true };
      const module = new ModuleBuilder();
      expect(() => {
        addGemm(module, { relaxed, epilogue });
        addGemv(module, { relaxed, epilogue });
        for (const columns of [8, 24] as const) addSpmm(module, { relaxed, epilogue, columns });
      }).not.toThrow();
    }
  });
});
