/** Reference vectors of methods: projection, ADMM iterates, lowered convolutions, bits, statistics of noise. */
import {
  adcBitsForExact,
  admmResidual,
  admmStart,
  admmStep,
  bitsPerSlice,
  type Crossbar,
  columnBounds,
  columnNonZeros,
  footprint,
  IDEAL_DEVICE,
  isaacAdcBits,
  largestColumnSum,
  mapMatrix,
  mapSingleCell,
  multiply,
  program,
  projectColumnProportional,
  type RealMatrix,
} from '@grim/reram';
import { type Fields, type Measured, type Table, worst } from './vectors-fields.ts';

/** [word lines][filters], as the files have it → [filters, word lines]. */
function byFilter({ rows, cols, data }: Table): RealMatrix<Float64Array> {
  return {
    rows: cols,
    cols: rows,
    data: Float64Array.from(data, (_, i) => data[(i % rows) * cols + Math.floor(i / rows)] ?? 0),
  };
}

const exact = (errors: readonly number[]): Measured => ({ error: Math.max(...errors), tolerance: 0 });
const differs = (found: number, wanted: number): number =>
  found === wanted ? 0 : Math.abs(found - wanted) || Infinity;

export function bitLaws(fields: Fields): Measured {
  const args = [fields.number('active_rows'), fields.number('cell_bits'), fields.number('dac_bits')] as const;
  return exact([
    differs(largestColumnSum(...args), fields.number('max_column_sum')),
    differs(adcBitsForExact(...args), fields.number('exact_bits')),
    differs(isaacAdcBits(...args), fields.number('isaac_formula_bits')),
    differs(isaacAdcBits(...args, true), fields.number('isaac_formula_with_encoding')),
  ]);
}

export function columnProportional(fields: Fields): Measured {
  const s = fields.part('settings');
  const { data } = projectColumnProportional(
    byFilter(fields.table('matrix_rows_by_filters')),
    s.number('crossbar_rows'),
    s.number('nonzeros_per_crossbar_column'),
  );
  return exact([
    worst(data, byFilter(fields.table('expected')).data),
    differs(data.filter((value) => value !== 0).length, fields.number('nonzeros')),
  ]);
}

export function admmIterates(fields: Fields): Measured {
  const s = fields.part('settings');
  const [a, b] = [fields.table('A'), fields.table('B')];
  const [k, m] = [a.cols, b.cols];
  const rho = s.number('rho');
  // A·W ≈ B with W [k, m]: per filter, (AᵀA + ρI) w = Aᵀb + ρ·target.
  const gram = new Float64Array(k * k);
  const cross = new Float64Array(m * k);
  for (let n = 0; n < a.rows; n++)
    for (let i = 0; i < k; i++) {
      const left = a.data[n * k + i] as number;
      for (let j = 0; j < k; j++) gram[i * k + j] = (gram[i * k + j] as number) + left * (a.data[n * k + j] as number);
      for (let f = 0; f < m; f++)
        cross[f * k + i] = (cross[f * k + i] as number) + left * (b.data[n * m + f] as number);
    }
  const loss = (w: Float64Array): number => {
    let sum = 0;
    for (let n = 0; n < a.rows; n++)
      for (let f = 0; f < m; f++) {
        let y = -(b.data[n * m + f] as number);
        for (let i = 0; i < k; i++) y += (a.data[n * k + i] as number) * (w[f * k + i] as number);
        sum += 0.5 * y * y;
      }
    return sum;
  };
  const minimise = (target: Float64Array, penalty: number): Float64Array => {
    const matrix = gram.map((v, at) => v + (at % (k + 1) === 0 ? penalty : 0));
    const right = cross.map((v, at) => v + penalty * (target[at] as number));
    return solved(matrix, right, k);
  };
  const project = (values: Float64Array) =>
    projectColumnProportional(
      { rows: m, cols: k, data: values },
      s.number('crossbar_rows'),
      s.number('nonzeros_per_crossbar_column'),
    ).data;
  let state = admmStart(m * k, 1);
  let error = 0;
  for (const step of fields.parts('history')) {
    state = admmStep(state, rho, minimise, [project]);
    const [z = new Float64Array()] = state.z;
    error = Math.max(
      error,
      Math.abs(admmResidual(state) - step.number('primal_residual')),
      lossError(loss(state.w), step.number('loss_W')),
      lossError(loss(z), step.number('loss_Z')),
    );
  }
  const [z = new Float64Array()] = state.z;
  error = Math.max(error, worst(state.w, byFilter(fields.table('final_W')).data));
  error = Math.max(error, worst(z, byFilter(fields.table('final_Z')).data));
  return { error: Number.isNaN(error) ? Infinity : error, tolerance: fields.number('tolerance_abs') };
}

/** Losses are sums of squares: large ones are held by their share, those near zero by their difference. */
const lossError = (found: number, wanted: number): number => Math.abs(found - wanted) / Math.max(1, Math.abs(wanted));

/** Rows of `right` solved with a symmetric positive matrix, by elimination. */
function solved(matrix: Float64Array, right: Float64Array, n: number): Float64Array {
  const rows = right.length / n;
  const a = Float64Array.from(matrix);
  const x = Float64Array.from(right);
  for (let p = 0; p < n; p++)
    for (let i = p + 1; i < n; i++) {
      const factor = (a[i * n + p] as number) / (a[p * n + p] as number);
      for (let j = p; j < n; j++) a[i * n + j] = (a[i * n + j] as number) - factor * (a[p * n + j] as number);
      for (let r = 0; r < rows; r++) x[r * n + i] = (x[r * n + i] as number) - factor * (x[r * n + p] as number);
    }
  for (let p = n - 1; p >= 0; p--)
    for (let r = 0; r < rows; r++) {
      let sum = x[r * n + p] as number;
      for (let j = p + 1; j < n; j++) sum -= (a[p * n + j] as number) * (x[r * n + j] as number);
      x[r * n + p] = sum / (a[p * n + p] as number);
    }
  return x;
}

export function convolution(fields: Fields): Measured {
  const s = fields.part('settings');
  const dense = byFilter(fields.table('weights_dense_int'));
  const rows = s.number('crossbar_rows');
  const most = s.number('nonzeros_per_crossbar_column');
  const cellBits = s.number('cell_bits');
  const projected = projectColumnProportional(dense, rows, most);
  const w = { ...dense, data: Int32Array.from(projected.data) };
  const bar: Crossbar = {
    ...{ rows, cols: s.number('crossbar_cols'), cellBits, weightSlices: s.number('slices') },
    ...{ weightBits: 8, inputBits: s.number('input_bits'), dacBits: 1, storage: 'differential' },
    adc: { model: 'ideal' },
    device: IDEAL_DEVICE,
  };
  const mapping = mapMatrix(w, bar);
  const size = footprint(mapping);
  const bounds = columnBounds(mapping);
  const errors = [
    worst(projected.data, byFilter(fields.table('weights_pruned_int')).data),
    differs(mapping.rowBlocks.length - 1, fields.number('row_blocks')),
    differs(size.arrays, fields.number('crossbars')),
    differs(adcBitsForExact(most, cellBits, 1), fields.number('worst_case_bits')),
  ];
  let nonZeros = 0;
  let sameSign: number | undefined;
  for (const block of fields.parts('per_block')) {
    const own = bounds.filter(({ rowBlock }) => rowBlock === block.number('row_block'));
    const bits = block.list('data_aware_bits_per_slice');
    block.list('max_column_sum_per_slice').forEach((sum, slice) => {
      const columns = own.filter((column) => column.slice === slice);
      errors.push(differs(Math.max(...columns.map(({ high }) => high)), sum));
      errors.push(differs(Math.max(...columns.map((column) => column.bits)), bits[slice] ?? Number.NaN));
    });
    nonZeros = Math.max(nonZeros, block.number('max_nonzeros_in_a_column'));
    if (block.has('max_same_sign_nonzeros')) sameSign = Math.max(sameSign ?? 0, block.number('max_same_sign_nonzeros'));
  }
  errors.push(differs(columnNonZeros(w, rows), nonZeros));
  if (sameSign !== undefined) {
    const ofSign = (sign: number) => ({ ...w, data: w.data.map((value) => Math.max(0, sign * value)) });
    errors.push(differs(Math.max(...[1, -1].map((sign) => columnNonZeros(ofSign(sign), rows))), sameSign));
  }
  if (fields.has('column_blocks'))
    errors.push(differs(size.arrays / (2 * (mapping.rowBlocks.length - 1)), fields.number('column_blocks')));

  // Patches by their definition: rows are channel, kernel row, kernel column.
  const [height, width, kernel] = [s.number('height'), s.number('width'), s.number('kernel')];
  const [stride, pad] = [s.number('stride'), s.number('pad')];
  const planes = fields.tables('input_uint8');
  const x: number[] = [];
  let positions = 0;
  for (let top = -pad; top + kernel <= height + pad; top += stride)
    for (let left = -pad; left + kernel <= width + pad; left += stride) {
      positions++;
      for (const plane of planes)
        for (let ky = 0; ky < kernel; ky++)
          for (let kx = 0; kx < kernel; kx++) {
            const [row, col] = [top + ky, left + kx];
            const inside = row >= 0 && row < height && col >= 0 && col < width;
            x.push(inside ? (plane.data[row * width + col] ?? 0) : 0);
          }
    }
  let largest = 0;
  const bits = Math.max(1, ...bitsPerSlice(mapping));
  const converted = mapMatrix(w, { ...bar, adc: { model: 'uniform', bits, range: 'unit-step' } });
  const y = multiply(converted, x, {
    observe: ({ value }) => {
      largest = Math.max(largest, value);
    },
  });
  fields.tables('expected_output_int').forEach((plane, f) => {
    errors.push(
      worst(
        plane.data,
        Float64Array.from({ length: positions }, (_, p) => y[p * w.rows + f] ?? Number.NaN),
      ),
    );
  });
  errors.push(differs(largest, fields.number('largest_observed_column_sum')));
  errors.push(differs(positions * size.conversionsPerVector, fields.number('adc_conversions')));
  return exact(errors);
}

const TRIALS = 4000;

/** The error is in standard errors of the mean and of the standard deviation; 5 are allowed, as the files ask. */
export function noiseMoments(fields: Fields): Measured {
  const model = fields.text('model');
  const kind = /multiplicative|proportional/.test(model) ? 'proportional' : 'constant';
  const x = fields.list('x');
  const [positive, negative] = [fields.table('gpos'), fields.table('gneg')];
  const [mean, std] = [fields.list('mean'), fields.list('std')];
  const { rows: m, cols: k } = positive;
  const crossbar: Crossbar = {
    ...{ rows: 2 ** 16, cols: 2 ** 16, cellBits: 0, weightBits: 8, inputBits: 8, dacBits: 1, storage: 'differential' },
    adc: { model: 'ideal' },
    device: { onOffRatio: Infinity, programming: { kind, sigma: fields.number('sigma') } },
  };
  // One continuous cell per weight: a conductance g is the weight g of a one-sided pair.
  const mappings = [positive, negative].map((cells) => mapSingleCell(cells, crossbar));
  const sums = new Float64Array(m);
  const squares = new Float64Array(m);
  for (let trial = 0; trial < TRIALS; trial++) {
    const [p, n] = mappings.map((mapping, i) => program(mapping, { seed: 1 + trial + i * TRIALS }).cells);
    for (let o = 0; o < m; o++) {
      let current = 0;
      for (let i = 0; i < k; i++) current += (x[i] ?? 0) * ((p?.[o * k + i] ?? 0) - (n?.[o * k + i] ?? 0));
      const off = current - (mean[o] ?? 0);
      sums[o] = (sums[o] ?? 0) + off;
      squares[o] = (squares[o] ?? 0) + off * off;
    }
  }
  let error = 0;
  for (let o = 0; o < m; o++) {
    const wanted = std[o] ?? Number.NaN;
    const off = (sums[o] ?? 0) / TRIALS;
    const variance = ((squares[o] ?? 0) - TRIALS * off * off) / (TRIALS - 1);
    // Nothing is driven: every trial is the mean itself.
    if (wanted === 0) {
      error = Math.max(error, variance === 0 && Math.abs(off) < 1e-12 ? 0 : Infinity);
      continue;
    }
    const errors = [
      Math.abs(off) / (wanted / Math.sqrt(TRIALS)),
      Math.abs(Math.sqrt(variance) - wanted) / (wanted / Math.sqrt(2 * TRIALS)),
    ];
    error = Math.max(error, ...errors.map((e) => (Number.isNaN(e) ? Infinity : e)));
  }
  return { error, tolerance: 5, note: `standard errors of ${TRIALS} trials` };
}
