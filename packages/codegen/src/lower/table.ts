/** All lowerings, gathered from one file per family. */
import type { Lowerings } from '../lower.ts';
import { argumentLowerings } from './argument.ts';
import { attentionLowerings } from './attention.ts';
import { col2imLowerings } from './col2im.ts';
import { controlLowerings } from './control.ts';
import { convLowerings } from './conv.ts';
import { convTransposeLowerings } from './conv-transpose.ts';
import { einsumLowerings } from './einsum.ts';
import { elementwiseLowerings } from './elementwise.ts';
import { gatherLowerings } from './gather.ts';
import { gemmLowerings } from './gemm.ts';
import { gridSampleLowerings } from './grid-sample.ts';
import { integerProductLowerings } from './integer-product.ts';
import { lossLowerings } from './loss.ts';
import { normLowerings } from './norm.ts';
import { openLowerings } from './open.ts';
import { poolLowerings } from './pool.ts';
import { quantizeLowerings } from './quantize.ts';
import { rearrangeLowerings } from './rearrange.ts';
import { recurrentLowerings } from './recurrent.ts';
import { reduceLowerings } from './reduce.ts';
import { regionLowerings } from './region.ts';
import { resizeLowerings } from './resize.ts';
import { scatterLowerings } from './scatter.ts';
import { selectLowerings } from './select.ts';
import { signalLowerings } from './signal.ts';
import { topKLowerings } from './top-k.ts';
import { viewLowerings } from './view.ts';
import { widened } from './widen.ts';

export const LOWERINGS: Lowerings = {
  ...elementwiseLowerings,
  ...viewLowerings,
  ...argumentLowerings,
  ...attentionLowerings,
  ...reduceLowerings,
  ...rearrangeLowerings,
  ...gatherLowerings,
  ...col2imLowerings,
  ...controlLowerings,
  ...widened(convLowerings),
  ...widened(convTransposeLowerings),
  ...einsumLowerings,
  ...gemmLowerings,
  ...openLowerings,
  ...widened(poolLowerings),
  ...gridSampleLowerings,
  ...integerProductLowerings,
  ...lossLowerings,
  ...normLowerings,
  ...widened(recurrentLowerings),
  ...quantizeLowerings,
  ...regionLowerings,
  ...resizeLowerings,
  ...scatterLowerings,
  ...selectLowerings,
  ...signalLowerings,
  ...topKLowerings,
};
