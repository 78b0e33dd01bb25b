export const normOps = {};
