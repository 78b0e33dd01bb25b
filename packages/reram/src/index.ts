/** Public names of `@grim/reram`, and nothing else. */
export { type Adc, type AdcRange, adcBitsOf, type Converter, converter, type Limits } from './adc.ts';
export { type AdmmState, admmResidual, admmStart, admmStep, type Projection } from './admm.ts';
export { type AdmmTrainer, type AdmmTrainOptions, type AdmmTrainPeriod, admmTrain } from './admm-train.ts';
export { type Allocation, allocateAdcBits, type BitsOption } from './allocate.ts';
export { type CalibrationOptions, type Conversion, calibrate, type MultiplyOptions, multiply } from './array.ts';
export { type ArrayWires, arrayCircuit } from './array-circuit.ts';
export {
  adcBits,
  adcBitsForExact,
  adversarialInput,
  type BitsLaw,
  bitsPerSlice,
  type Certificate,
  type CertifiedColumn,
  type CertifyOptions,
  type ColumnBound,
  certify,
  columnBounds,
  isaacAdcBits,
  largestColumnSum,
  nonZerosForBits,
} from './certificate.ts';
export {
  type CertificateProblem,
  checkCertificate,
  checkNetworkCertificate,
  type NetworkProblem,
} from './check.ts';
export {
  type CircuitOptions,
  type CircuitSolution,
  type CircuitSolver,
  circuitSolver,
  solveCircuit,
} from './circuit.ts';
export { approximateCircuit, type CircuitApproximation } from './circuit-approximation.ts';
export type { CrossbarCircuit, OpenSegment } from './circuit-check.ts';
export {
  type ArrayGroup,
  type Cost,
  type CostRatios,
  compareCosts,
  designOf,
  HARDWARE,
  type HardwareDesign,
  type LayerCost,
  type LayerMapping,
  type MappingSummary,
  type NetworkCost,
  networkCost,
  type Part,
  type PartCost,
} from './cost.ts';
export { ADC_LAWS, type AdcCost, type AdcLaw, type AdcLawName, adcCost } from './cost-adc.ts';
export { type LayerUse, layerMapping } from './cost-mapping.ts';
export { type InputEncoding, type InputSlices, inputSlices } from './dac.ts';
export { type Device, IDEAL_DEVICE, type ProgrammingError } from './device.ts';
export type { ReramErrorCode } from './errors.ts';
export {
  crossbarAt,
  type DesignPoint,
  type DesignResult,
  type DesignSpace,
  designPoints,
  type ExploreOptions,
  explore,
  paretoFront,
  type StorageChoice,
} from './explore.ts';
export { type FitOptions, fitColumns } from './fit.ts';
export type { InputRange, RangeRule } from './input-range.ts';
export {
  type ChipCost,
  type ChipTable,
  type Component,
  chipCost,
  ISAAC_CE,
  isaacSelfTest,
  type PowerArea,
  PUBLISHED_PEAKS,
  type SelfTestRow,
} from './isaac.ts';
export {
  type Crossbar,
  type Footprint,
  footprint,
  type MapOptions,
  type Mapping,
  mapMatrix,
  mapSingleCell,
  partition,
  type SingleCellOptions,
  type Storage,
} from './mapping.ts';
export { type MixedConverters, type MixedOptions, mixConverters } from './mixed.ts';
export {
  type Feed,
  type LinearPart,
  type QuantisedNetwork,
  type QuantiseOptions,
  quantiseNetwork,
} from './network.ts';
export { type Programmed, type ProgramOptions, program } from './noise.ts';
export { PRESETS, type PresetName } from './presets.ts';
export {
  applyStructured,
  type ColumnProportionalOptions,
  type CrossbarTarget,
  columnNonZeros,
  crossbarMask,
  type IntMatrix,
  projectColumnProportional,
  projectQuantised,
  type Quantised,
  quantise,
  type RealMatrix,
  type StructuredChoice,
  type StructuredTarget,
  structuredChoice,
} from './project.ts';
export { type RandomStream, randomStream } from './random.ts';
export { drawFaults, type FaultMap, type RemapOptions, type Remapping, remap } from './remap.ts';
export {
  type Attribution,
  attribute,
  type LayerReport,
  nonIdealities,
  type SimulateOptions,
  type SimulationResult,
  simulate,
  simulateDigital,
  simulateQuantised,
} from './simulate.ts';
export {
  type BitsChoice,
  certifyNetwork,
  duplicateLayers,
  type MappedLayer,
  type MappedNetwork,
  mapNetwork,
  type NetworkCertificate,
  vectorCounts,
} from './summary.ts';
