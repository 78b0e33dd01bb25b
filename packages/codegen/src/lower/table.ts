/** All lowerings, gathered from one file per family. */
import type { Lowerings } from '../lower.ts';
import { argumentLowerings } from './argument.ts';
import { controlLowerings } from './control.ts';
import { convLowerings } from './conv.ts';
import { convTransposeLowerings } from './conv-transpose.ts';
import { gemmLowerings } from './gemm.ts';
import { normLowerings } from './norm.ts';
import { poolLowerings } from './pool.ts';
import { gatherLowerings } from './gather.ts';
import { rearrangeLowerings } from './rearrange.ts';
import { reduceLowerings } from './reduce.ts';
import { recurrentLowerings } from './recurrent.ts';
import { resizeLowerings } from './resize.ts';
import { scatterLowerings } from './scatter.ts';
import { selectLowerings } from './select.ts';
import { topKLowerings } from './top-k.ts';
import { viewLowerings } from './view.ts';
import { elementwiseLowerings } from './elementwise.ts';

export const LOWERINGS: Lowerings = {
  ...elementwiseLowerings,
  ...viewLowerings,
  ...argumentLowerings,
  ...reduceLowerings,
  ...rearrangeLowerings,
  ...gatherLowerings,
  ...controlLowerings,
  ...convLowerings,
  ...convTransposeLowerings,
  ...gemmLowerings,
  ...poolLowerings,
  ...normLowerings,
  ...recurrentLowerings,
  ...resizeLowerings,
  ...scatterLowerings,
  ...selectLowerings,
  ...topKLowerings,
};
