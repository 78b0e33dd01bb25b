export const reduceOps = {};
