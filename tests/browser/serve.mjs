// Serves the page and its packages, from an origin of its own.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript" };

/** The server, which listens on a free port; `modules` is the folder that holds `node_modules`. */
export async function serve(modules) {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://page").pathname);
    const file = path === "/" ? "/index.html" : path;
    const home = file.startsWith("/node_modules/") ? modules : import.meta.dirname;
    try {
      const body = await readFile(join(home, file));
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
