import { defineConfig } from "vite";

// The backend of the folder above; the page reaches it at its own origin.
const proxy = { "/api": process.env.BACKEND ?? "http://localhost:5174" };

export default defineConfig({
  // The files that both pages use lie in the folder above.
  server: { port: 5173, strictPort: true, proxy, fs: { allow: [".."] } },
  preview: { port: 5173, strictPort: true, proxy },
});
