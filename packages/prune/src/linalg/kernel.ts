/**
 * The inner loop of every matrix product here: C += A · B on 4 × 4 tiles of float64, as 128-bit WebAssembly where the
 * engine has it, as plain loops elsewhere. Both add the products of an element in the same order, one rounding each, so
 * the bits are the same on every machine.
 *
 * A and B lie in the kernel's own memory as panels of 4: A as [panel][k][4 rows], B as [panel][k][4 columns];
 * C, one tile of it at a time, as [row panel][column panel][4][4].
 * @see WebAssembly core specification 2.0, binary format
 */

/** Largest tile of C, and the length of the sums that are done at a time. */
export const TILE_M = 64;
export const TILE_N = 128;
export const TILE_K = 256;

export interface Kernel {
  /** Makes room for so many elements of A and B. The arrays are good until the next call. */
  reserve(a: number, b: number): { readonly a: Float64Array; readonly b: Float64Array; readonly c: Float64Array };
  /** Adds the product of `rowPanels` panels of A and `colPanels` of B, from these elements on, `k` long, to C. */
  run(rowPanels: number, colPanels: number, k: number, a: number, b: number): void;
  /** Calls of `reserve` so far: whoever finds more than its own must pack again. */
  readonly reservations: number;
  readonly simd: boolean;
}

const C_BYTES = TILE_M * TILE_N * 8;
const PAGE = 65536;
const FIRST_PAGES = 16;

/** The WebAssembly kernel, or undefined when the engine lacks 128-bit SIMD. */
export function wasmKernel(): Kernel | undefined {
  const { WebAssembly } = globalThis as unknown as { WebAssembly?: WasmHost };
  const bytes = moduleBytes();
  if (!WebAssembly?.validate(bytes)) return undefined;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  let aBytes = 0;
  let reservations = 0;
  return {
    get reservations() {
      return reservations;
    },
    reserve(a, b) {
      reservations++;
      const missing = C_BYTES + 8 * (a + b) - exports.memory.buffer.byteLength;
      if (missing > 0) exports.memory.grow(Math.ceil(missing / PAGE));
      aBytes = 8 * a;
      const { buffer } = exports.memory;
      return {
        a: new Float64Array(buffer, C_BYTES, a),
        b: new Float64Array(buffer, C_BYTES + aBytes, b),
        c: new Float64Array(buffer, 0, C_BYTES / 8),
      };
    },
    run: (rowPanels, colPanels, k, a, b) =>
      exports.run(rowPanels, colPanels, k, C_BYTES + 8 * a, C_BYTES + aBytes + 8 * b, 0),
    simd: true,
  };
}

/** The same in plain loops. */
export function plainKernel(): Kernel {
  let areas = { a: new Float64Array(), b: new Float64Array(), c: new Float64Array(C_BYTES / 8) };
  let reservations = 0;
  return {
    get reservations() {
      return reservations;
    },
    reserve(a, b) {
      reservations++;
      areas = { a: new Float64Array(a), b: new Float64Array(b), c: areas.c };
      return areas;
    },
    run(rowPanels, colPanels, k, aStart, bStart) {
      const { a, b, c } = areas;
      let to = 0;
      for (let i = 0; i < rowPanels; i++)
        for (let j = 0; j < colPanels; j++)
          for (let row = 0; row < 4; row++)
            for (let col = 0; col < 4; col++) {
              let sum = c[to] as number;
              for (let p = 0; p < k; p++)
                sum += (a[aStart + (i * k + p) * 4 + row] as number) * (b[bStart + (j * k + p) * 4 + col] as number);
              c[to++] = sum;
            }
    },
    simd: false,
  };
}

interface WasmHost {
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
  ) => {
    exports: {
      memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
      run(rowPanels: number, colPanels: number, k: number, a: number, b: number, c: number): void;
    };
  };
}

// Parameters and locals of the function.
const [ROWS, COLS, K, A, B, C, BP, AP, J, P] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const ACC = 10; // Eight accumulators: row r, columns 0-1 and 2-3 of the tile.
const B0 = 18;
const B1 = 19;
const SPLAT = 20;

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const constant = (value: number): number[] => [0x41, ...signed(value)];
const add = (local: number, value: number[]): number[] => [...get(local), ...value, 0x6a, ...set(local)];
const load = (offset: number): number[] => [0xfd, 0x00, 4, ...unsigned(offset)];
const splat = (offset: number): number[] => [0xfd, 0x0a, 3, ...unsigned(offset)];
const store = (offset: number): number[] => [0xfd, 0x0b, 4, ...unsigned(offset)];
const F64X2_ADD = [0xfd, 0xf0, 0x01];
const F64X2_MUL = [0xfd, 0xf2, 0x01];
/** do { body } while (--counter) */
const repeat = (counter: number, body: number[]): number[] => [
  ...[0x03, 0x40],
  ...body,
  ...get(counter),
  ...constant(1),
  ...[0x6b, 0x22, counter, 0x0d, 0],
  0x0b,
];

function moduleBytes(): Uint8Array {
  const eight = Array.from({ length: 8 }, (_, i) => i);
  const step = [
    ...[...get(BP), ...load(0), ...set(B0), ...get(BP), ...load(16), ...set(B1)],
    ...[0, 1, 2, 3].flatMap((row) => [
      ...[...get(AP), ...splat(8 * row), ...set(SPLAT)],
      ...[0, 1].flatMap((half) => {
        const acc = ACC + 2 * row + half;
        return [...get(acc), ...get(SPLAT), ...get(half ? B1 : B0), ...F64X2_MUL, ...F64X2_ADD, ...set(acc)];
      }),
    ]),
    ...add(AP, constant(32)),
    ...add(BP, constant(32)),
  ];
  const tile = [
    ...eight.flatMap((i) => [...get(C), ...load(16 * i), ...set(ACC + i)]),
    ...[...get(A), ...set(AP), ...get(K), ...set(P)],
    ...repeat(P, step),
    ...eight.flatMap((i) => [...get(C), ...get(ACC + i), ...store(16 * i)]),
    ...add(C, constant(128)),
  ];
  const body = [
    ...repeat(ROWS, [
      ...[...get(B), ...set(BP), ...get(COLS), ...set(J)],
      ...repeat(J, tile),
      // The pointer to A has gone through this panel.
      ...[...get(AP), ...set(A)],
    ]),
    0x0b,
  ];
  const locals = [2, 4, 0x7f, 11, 0x7b];
  const code = [...locals, ...body];
  const name = (text: string) => [text.length, ...Array.from(text, (c) => c.charCodeAt(0))];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 6, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...unsigned(FIRST_PAGES)]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('run'), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

function section(id: number, content: number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && !(low & 0x40)) || (rest === -1 && low & 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}
