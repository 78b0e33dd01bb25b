/** With types of our own (litert.d.mts): those of the package add constructors to `Float32Array` everywhere. */
export { loadAndCompile, loadLiteRt, Tensor } from '@litertjs/core';
