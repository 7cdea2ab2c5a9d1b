// Loads the 3,201 films of vega-datasets into the cluster, once: an index that is already there is left alone.
import { readFile } from "node:fs/promises";

const url = process.env.MIROIR_URL ?? "http://127.0.0.1:7700";
const headers = { authorization: `Bearer ${process.env.MIROIR_MASTER_KEY}`, "content-type": "application/json" };

async function call(method, path, body) {
  const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
  const json = await answer.json();
  return { status: answer.status, json };
}

async function task(method, path, body) {
  const { status, json } = await call(method, path, body);
  if (status !== 202) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
  for (;;) {
    const { json: seen } = await call("GET", `/tasks/${json.taskUid}`);
    if (seen.status === "succeeded") return seen;
    if (seen.status === "failed") throw new Error(`${method} ${path}: ${JSON.stringify(seen.error)}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

if ((await call("GET", "/indexes/films")).status === 200) {
  console.log("films: already there");
  process.exit(0);
}
const films = JSON.parse(await readFile("node_modules/vega-datasets/data/movies.json", "utf8"));
const documents = films.map((film, id) => ({ id, ...film }));
await task("POST", "/indexes", { uid: "films", primaryKey: "id" });
await task("PATCH", "/indexes/films/settings", {
  filterableAttributes: ["Major Genre", "Director", "IMDB Rating"],
  sortableAttributes: ["IMDB Rating", "Worldwide Gross"],
});
const done = await task("POST", "/indexes/films/documents", documents);
console.log(`films: ${done.details.indexedDocuments} documents indexed`);
console.log(`try: curl -s ${url}/indexes/films/search -H 'authorization: Bearer ...' --json '{"q":"star"}'`);
