export const poolOps = {};
