// Loads the 3,201 films of vega-datasets into the cluster, once: an index that is already there is left alone. Then it
// shows what the cluster answers, and where the shards are.
import { readFile } from "node:fs/promises";

const url = process.env.MIROIR_URL ?? "http://127.0.0.1:7700";
const publicUrl = process.env.MIROIR_PUBLIC_URL ?? url;
const masterKey = process.env.MIROIR_MASTER_KEY;

async function call(method, path, body, base = url, key = masterKey) {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  return { status: answer.status, shards: answer.headers.get("x-miroir-shards"), json: await answer.json() };
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

async function load() {
  if ((await call("GET", "/indexes/films")).status === 200) {
    console.log("films: already there");
    return;
  }
  const films = JSON.parse(await readFile("node_modules/vega-datasets/data/movies.json", "utf8"));
  await task("POST", "/indexes", { uid: "films", primaryKey: "id" });
  await task("PATCH", "/indexes/films/settings", {
    filterableAttributes: ["Major Genre", "Director", "IMDB Rating"],
    sortableAttributes: ["IMDB Rating", "Worldwide Gross"],
  });
  const documents = films.map((film, id) => ({ id, ...film }));
  const done = await task("POST", "/indexes/films/documents", documents);
  console.log(`films: ${done.details.indexedDocuments} documents indexed`);
}

async function search(what, query) {
  const { status, shards, json } = await call("POST", "/indexes/films/search", { limit: 3, ...query });
  if (status !== 200) throw new Error(`search: ${status} ${JSON.stringify(json)}`);
  console.log(`\n${what}: ${JSON.stringify(query)}`);
  for (const film of json.hits) console.log(`  ${film.Title} (${film["IMDB Rating"]})`);
  for (const [name, values] of Object.entries(json.facetDistribution ?? {})) {
    console.log(`  ${name}: ${Object.entries(values).map(([value, count]) => `${value} ${count}`).join(", ")}`);
  }
  console.log(`  ${json.estimatedTotalHits} hits from ${shards} shards, ${json.processingTimeMs} ms`);
}

async function layout() {
  const base = process.env.MIROIR_CONTROL_URL;
  if (!base) return;
  const { status, json } = await call("GET", "/_miroir/shards", undefined, base, process.env.MIROIR_ADMIN_KEY);
  if (status !== 200) throw new Error(`shards: ${status} ${JSON.stringify(json)}`);
  console.log("\nWhere the shards live:");
  for (const { id } of json.nodes) {
    const held = json.shards.filter((shard) => shard.copies.some((copy) => copy.node === id && copy.state === "inSync"));
    console.log(`  ${id}: ${held.length} of ${json.shards.length} shards`);
  }
}

await load();
await search("a typo", { q: "star wras" });
await search("a filter, sorted", { q: "", filter: "Director = 'Steven Spielberg'", sort: ["IMDB Rating:desc"] });
await search("facets", { q: "love", filter: "\"IMDB Rating\" > 7", facets: ["Major Genre"] });
await layout();
console.log(`\nThe cluster answers at ${publicUrl}. To try:`);
console.log(`  curl -s ${publicUrl}/indexes/films/search -H 'authorization: Bearer ${masterKey}' --json '{"q":"star"}'`);
