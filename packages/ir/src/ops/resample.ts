export const resampleOps = {};
