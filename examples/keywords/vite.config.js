import grim from '@grim/vite-plugin';
import { defineConfig } from 'vite';

export default defineConfig({ plugins: [grim()] });
