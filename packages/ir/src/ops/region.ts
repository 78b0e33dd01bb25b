export const regionOps = {};
