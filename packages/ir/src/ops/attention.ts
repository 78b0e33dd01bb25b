export const attentionOps = {};
